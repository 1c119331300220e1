"""``agentcore costs``: what calls cost and saved, by whom and when, and whether hardware pays."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentcore.cli.config import ConfigFile
from agentcore.cli.options import Token, Url
from agentcore.cli.tables import show_table
from agentcore.kit.errors import InvalidInput
from agentcore.kit.jsonvalue import JsonObject, JsonValue, objects_of

if TYPE_CHECKING:
    from agentcore.cli.client import ServiceClient
    from agentcore.llm_gateway.cost_analyzer import Appraisal, Investment

PAGE = 500
YEARS = (1, 2, 3)
SUMMARY = ("provider", "kind", "calls", "prompt_tokens", "completion_tokens")
MONEY = ("cost_usd", "api_equivalent_usd")
HEADINGS = {
    "prompt_tokens": "tokens in",
    "completion_tokens": "tokens out",
    "cost_usd": "USD spent",
    "saved_usd": "USD saved",
    "api_equivalent_usd": "USD by API",
}
TOTALS = ("calls", "failed", "prompt_tokens", "completion_tokens", "cost_usd", "saved_usd")


class By(StrEnum):
    """What costs are summed by."""

    agent = "agent"
    key = "key"
    model = "model"
    provider = "provider"
    conversation = "conversation"
    day = "day"


def costs(
    by: Annotated[By | None, typer.Option(help="Sum by this, dearest first.")] = None,
    days: Annotated[int, typer.Option(min=1, max=3660, help="Days back, today's included.")] = 30,
    roi: Annotated[
        bool, typer.Option("--roi", help="Say when own hardware has paid for itself.")
    ] = False,
    gpu: Annotated[
        str, typer.Option(help="What a node costs: nvidia_l4 or apple_m2_max.")
    ] = "nvidia_l4",
    gpus: Annotated[int, typer.Option(min=1, max=1_000_000, help="Nodes.")] = 4,
    gpu_price: Annotated[
        float | None, typer.Option(min=0, max=1e9, help="USD upfront per node, instead.")
    ] = None,
    hosting: Annotated[
        float | None, typer.Option(min=0, max=1e9, help="USD a month per node, instead.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Save what was saved and what comes of it as a PNG.")
    ] = None,
    url: Url = None,
    token: Token = None,
    config: ConfigFile = None,
) -> None:
    """Show what model calls cost, and what they would have cost on the API."""
    from agentcore.cli.client import connect

    if plot is not None:
        from agentcore.cli.env.plotting import require_matplotlib

        require_matplotlib()
    if roi or plot is not None:
        # What is wrong with it is said before anybody is asked.
        investment = _investment(gpu, gpus, gpu_price, hosting)
        service = connect(url, token, config)
        _show_roi(_all(service, "/internal/costs/daily", days), investment, plot)
        return
    service = connect(url, token, config)
    if by is None:
        _show_summary(service)
        return
    path = "/internal/costs/daily" if by is By.day else f"/internal/costs/by/{by.value}"
    found = _all(service, path, days)
    named = [{**line, by.value: line.get("name") or "(none)"} for line in found]
    show_table(named, (by.value, *TOTALS), HEADINGS)
    _mention_unpriced(found)


def _show_summary(service: ServiceClient) -> None:
    found = service.get("/internal/costs/summary")
    show_table(objects_of(found.get("lines")), (*SUMMARY, *MONEY), HEADINGS)
    typer.echo(f"spent ${found.get('cost_usd')}, saved ${found.get('saved_usd')}")


def _show_roi(lines: Sequence[JsonObject], investment: Investment, plot: Path | None) -> None:
    from agentcore.kit.clock import SYSTEM_CLOCK
    from agentcore.llm_gateway.cost_analyzer import Observed, appraise

    today = SYSTEM_CLOCK.now().date()
    seen = [date.fromisoformat(str(line.get("name"))) for line in lines]
    observed = Observed(
        days=(today - min(seen)).days + 1 if seen else 0,
        saved_usd=_sum(lines, "saved_usd"),
        api_usd=_sum(lines, "cost_usd"),
        unpriced=int(_sum(lines, "unpriced")),
    )
    found = appraise(observed, investment)
    for line in report(found):
        typer.echo(line)
    _mention_unpriced(lines)
    if plot is not None:
        from agentcore.cli.cost_plot import draw

        draw(
            found,
            {day: _of(line, "saved_usd") for day, line in zip(seen, lines, strict=True)},
            plot,
        )
        typer.echo(f"drew {plot}")


def report(found: Appraisal) -> list[str]:
    """An appraisal in words."""
    from agentcore.llm_gateway.cost_analyzer import DAYS_PER_MONTH, NEVER

    observed, investment = found.observed, found.investment
    saved = observed.saved_usd / observed.days * DAYS_PER_MONTH
    seen = f"spent {_usd(observed.api_usd)}, saved {_usd(observed.saved_usd)} by own hardware"
    hosting = f"{_usd(investment.monthly_hosting)} for hosting {investment.nodes} nodes"
    when = "never at this traffic"
    if found.break_even_months != NEVER:
        when = f"after {found.break_even_months:.1f} months"
    rates = ", ".join(f"{found.roi_percent(12 * year):.0f} % in {year}" for year in YEARS)
    return [
        f"observed {observed.days} days: {seen}",
        f"a month: {_usd(saved)} saved, less {hosting}, is {_usd(found.monthly_savings)}",
        f"break-even of {_usd(investment.upfront)} upfront: {when}",
        f"return on investment, by years: {rates}",
    ]


def _investment(gpu: str, gpus: int, gpu_price: float | None, hosting: float | None) -> Investment:
    from agentcore.llm_gateway.cost_analyzer import GPU_NODES, Investment

    node = GPU_NODES.get(gpu)
    if node is None:
        raise InvalidInput(
            f"what a {gpu!r} costs is not known",
            hint=f"known are {', '.join(GPU_NODES)}; or give --gpu-price and --hosting",
        )
    return Investment(
        nodes=gpus,
        upfront_per_node=node["upfront"] if gpu_price is None else Decimal(str(gpu_price)),
        monthly_hosting_per_node=(
            node["monthly_hosting"] if hosting is None else Decimal(str(hosting))
        ),
    )


def _all(service: ServiceClient, path: str, days: int) -> list[JsonObject]:
    found: list[JsonObject] = []
    cursor: JsonValue = ""
    while isinstance(cursor, str):
        page = service.get(path, days=days, limit=PAGE, cursor=cursor)
        found += objects_of(page.get("lines"))
        cursor = page.get("next_cursor")
    return found


def _mention_unpriced(lines: Sequence[JsonObject]) -> None:
    unpriced = int(_sum(lines, "unpriced"))
    if unpriced:
        typer.echo(f"{unpriced} calls have no known cost: they are in no sum")


def _sum(lines: Sequence[JsonObject], name: str) -> Decimal:
    return sum((_of(line, name) for line in lines), Decimal(0))


def _of(line: JsonObject, name: str) -> Decimal:
    return Decimal(str(line.get(name) or 0))


def _usd(amount: Decimal) -> str:
    sign = "-" if amount < 0 else ""
    return f"{sign}${abs(amount):,.2f}"
