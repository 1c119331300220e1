"""The demo's result as a table and a few sentences; every number comes from a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from rich import box
from rich.table import Table

from agentcore.cli.demo.rounds import Bill, Round, interval
from agentcore.training.openenv.environments.a2a_policies import A2ANaivePolicy, A2AReferencePolicy
from agentcore.training.openenv.environments.a2a_protocol_test import A2AProtocolTestEnv
from agentcore.training.openenv.environments.policies import score


def table(rounds: Sequence[Round]) -> Table:
    shown = Table(
        title="What the agents learned, and what it cost",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
        collapse_padding=True,
        pad_edge=False,
    )
    columns = (
        "round",
        "playbook",
        "reward",
        "± 95 %",
        "tasks\ndone",
        "faults",
        "self-\nhosted",
        "API\ncalls",
        "cost",
        "all on\nthe API",
    )
    for name in columns:
        shown.add_column(name, justify="right", no_wrap=True)
    for played in rounds:
        shown.add_row(
            str(played.number),
            versions(played),
            f"{played.mean:.2f}",
            f"{played.half_width:.2f}",
            f"{played.quality:.0%}",
            f"{played.violations:.1f}",
            str(played.bill.self_hosted),
            str(played.bill.api),
            dollars(played.bill.cost_usd),
            dollars(played.bill.api_equivalent_usd),
        )
    return shown


def summary(rounds: Sequence[Round]) -> list[str]:
    first, last = rounds[0], rounds[-1]
    gains = [after - before for before, after in zip(first.rewards, last.rewards, strict=True)]
    gain, half = sum(gains) / len(gains), interval(gains)
    total = _total(rounds)
    saved = total.api_equivalent_usd - total.cost_usd
    verdict = "rose" if gain - half > 0 else "did not rise measurably"
    return [
        (
            f"Reward per episode {verdict}: {gain:+.2f} ± {half:.2f} from round {first.number} to "
            f"round {last.number}, paired by seed (95 % interval, {len(gains)} episodes a round)."
        ),
        (
            f"{total.requests} model calls: {total.self_hosted} self-hosted, {total.api} on the "
            f"API; {dollars(total.cost_usd)} spent, {dollars(saved)} less than all on the API."
        ),
        (
            "Models and prices: simulated models; API calls at the list price of gpt-5-mini, "
            "self-hosted calls at their marginal price of zero."
        ),
    ]


def scale(seeds: Iterable[int]) -> str:
    """What the rewards mean: policies that know nothing and everything, on the same seeds."""
    known = list(seeds)
    naive = score(A2AProtocolTestEnv(), lambda _: A2ANaivePolicy(), known)
    reference = score(A2AProtocolTestEnv(), lambda _: A2AReferencePolicy(), known)
    return (
        f"Scale: on these seeds the naive policy scores {naive.mean:.2f}, the reference policy "
        f"{reference.mean:.2f}."
    )


def versions(played: Round) -> str:
    lowest, highest = min(played.versions), max(played.versions)
    return f"v{lowest}" if lowest == highest else f"v{lowest}-{highest}"


def dollars(amount: Decimal) -> str:
    return f"${amount:.3f}"


def _total(rounds: Sequence[Round]) -> Bill:
    return Bill(
        self_hosted=sum(played.bill.self_hosted for played in rounds),
        api=sum(played.bill.api for played in rounds),
        cost_usd=sum((played.bill.cost_usd for played in rounds), Decimal(0)),
        api_equivalent_usd=sum((played.bill.api_equivalent_usd for played in rounds), Decimal(0)),
    )
