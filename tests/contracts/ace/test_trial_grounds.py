"""What every ``TrialGrounds`` keeps: the scripted fake and the one that plays environments."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from agentcore.ace.ports import Bill, Spent, TrialGrounds
from agentcore.agents.trials import EnvironmentGrounds
from agentcore.kit.errors import AgentCoreError, NotFound, Unavailable
from tests.fakes.context import ToldSpending
from tests.fakes.playbooks import made_playbook
from tests.fakes.trial_grounds import ScriptedGrounds
from tests.unit.agents.test_trials import Doors, Owners, Rulebound

Build = Callable[[AgentCoreError | None], TrialGrounds]


def scripted(fault: AgentCoreError | None) -> TrialGrounds:
    return ScriptedGrounds(environments=frozenset({"doors"}), fault=fault)


def live(fault: AgentCoreError | None) -> TrialGrounds:
    async def known(name: str) -> None:
        if name != "doors":
            raise NotFound(f"there is no {name}")

    return EnvironmentGrounds(
        Owners(),
        minds=lambda _: Rulebound(),
        worlds=lambda _: Doors(fault),
        known=known,
        spending=ToldSpending({"acme/t": Spent(tokens=9, cost_usd=Decimal("0.03"))}),
    )


@pytest.mark.parametrize("build", [scripted, live])
async def test_there_is_a_pair_for_each_seed(build: Build) -> None:
    grounds = build(None)
    await grounds.check("doors")
    with pytest.raises(AgentCoreError):
        await grounds.check("castle")
    bill = Bill()
    trials = await grounds.trials("a", "doors", bill, private=False)
    pairs = await trials.play(made_playbook(), made_playbook(), [1, 2, 3])
    assert [pair.champion == pair.challenger for pair in pairs] == [True] * 3
    assert all(0 <= pair.champion <= 1 for pair in pairs)
    assert bill.cost_usd > 0
    assert await grounds.spent("a", "t") == Bill(trace_id="t", cost_usd=Decimal("0.03"))


@pytest.mark.parametrize("build", [scripted, live])
async def test_a_fault_is_no_outcome(build: Build) -> None:
    bill = Bill()
    trials = await build(Unavailable("away")).trials("a", "doors", bill, private=False)
    with pytest.raises(Unavailable):
        await trials.play(made_playbook(), made_playbook(), [1, 2, 3])
    assert bill.cost_usd > 0, "what was thought until then is to be paid"
