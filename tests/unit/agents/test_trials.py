from __future__ import annotations

import asyncio
from contextlib import suppress
from decimal import Decimal

import pytest

from agentcore.ace.errors import UnknownAgent
from agentcore.ace.ops import Add
from agentcore.ace.ports import Bill, Spent
from agentcore.agents.ports import Messages, Mind, Thought
from agentcore.agents.trials import (
    EPISODES_AT_ONCE,
    BilledMind,
    EnvironmentGrounds,
    EnvironmentTrials,
)
from agentcore.kit.errors import (
    AgentCoreError,
    DeadlineExceeded,
    InvalidInput,
    NotFound,
    Unavailable,
)
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.security import Principal
from agentcore.llm_gateway.errors import UpstreamTimeout
from tests.fakes.context import ToldSpending
from tests.fakes.playbooks import made_playbook

RULE = "Open the door with the key."
CHAMPION = made_playbook()
CHALLENGER = made_playbook(operations=[Add(section="rules", text=RULE)], version=2)


class Rulebound:
    """Opens the door if a rule of its prompt says how."""

    async def think(self, messages: Messages, *, trace_id: str) -> Thought:
        known = RULE in str(messages[0]["content"])
        return Thought(
            text='{"type": "open", "parameters": {"key": %s}}' % ("true" if known else "false"),
            tokens=10,
            cost_usd=Decimal("0.001"),
            provider="scripted",
        )


class Doors:
    """A step decides: quality 1 with the key, else 0. Remembers seeds, and what is open at once."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.seeds: list[object] = []
        self.open = self.most_open = 0
        self._fault = fault

    async def call(self, method: str, params: JsonObject) -> JsonObject:
        await asyncio.sleep(0)
        if method == "environment.open":
            self.open += 1
            self.most_open = max(self.most_open, self.open)
            return {"session_id": f"s{self.open}", "environment": {"action_space": {}}}
        if method == "environment.close":
            self.open -= 1
            return {"closed": True}
        if method == "environment.reset":
            self.seeds.append(params["seed"])
            return {"observation": {}}
        if self._fault is not None:
            raise self._fault
        told = params["parameters"]
        right = isinstance(told, dict) and told["key"] is True
        return {"reward": 1.0, "terminated": True, "info": {"score": float(right)}}


def trials(doors: Doors) -> EnvironmentTrials:
    return EnvironmentTrials(Rulebound(), doors, agent_id="a", environment="doors")


async def test_both_play_each_seed_and_only_the_playbook_differs() -> None:
    doors = Doors()
    pairs = await trials(doors).play(CHAMPION, CHALLENGER, range(20))
    assert {(pair.champion, pair.challenger) for pair in pairs} == {(0.0, 1.0)}
    assert sorted(doors.seeds, key=str) == sorted([*range(20), *range(20)], key=str)
    assert (doors.open, doors.most_open) == (0, EPISODES_AT_ONCE)


async def test_what_an_environment_cannot_read_is_a_failed_task() -> None:
    pairs = await trials(Doors(InvalidInput("no such action"))).play(CHAMPION, CHALLENGER, [1])
    assert [(pair.champion, pair.challenger) for pair in pairs] == [(0.0, 0.0)]


async def test_a_fault_of_the_environment_counts_for_nobody() -> None:
    doors = Doors(Unavailable("the doors are away"))
    with pytest.raises(Unavailable, match="away"):
        await trials(doors).play(CHAMPION, CHALLENGER, range(20))
    assert doors.open == 0, "what was open is closed"


class Owner:
    tenant, subject = "acme", "ann"


class Owners:
    async def owner(self, agent_id: str) -> Owner | None:
        return Owner() if agent_id == "a" else None

    async def ensure(self, agent_id: str, principal: Principal) -> None:
        raise AssertionError("nobody is registered by a trial")


async def test_trials_act_for_the_tenant_and_as_privately_as_the_playbook() -> None:
    callers: list[Principal] = []

    def mind(caller: Principal) -> Mind:
        callers.append(caller)
        return Rulebound()

    async def known(name: str) -> None:
        if name != "doors":
            raise NotFound(f"there is no {name}")

    grounds = EnvironmentGrounds(
        Owners(), minds=mind, worlds=lambda _: Doors(), known=known, spending=ToldSpending()
    )
    await grounds.check("doors")
    with pytest.raises(NotFound, match="castle"):
        await grounds.check("castle")
    bill = Bill()
    found = await grounds.trials("a", "doors", bill, private=True)
    (pair,) = await found.play(CHAMPION, CHALLENGER, [3])
    assert pair.challenger > pair.champion
    (caller,) = callers
    assert (caller.tenant, caller.private, caller.may("admin")) == ("acme", True, False)
    with pytest.raises(UnknownAgent):
        await grounds.trials("nobody", "doors", bill, private=False)
    assert bill == Bill(cost_usd=Decimal("0.002"))


@pytest.mark.parametrize(
    ("known", "bill"),
    [
        (Spent(tokens=9, cost_usd=Decimal("0.5")), Bill(trace_id="t", cost_usd=Decimal("0.5"))),
        (Spent(tokens=9, cost_usd=None), Bill(trace_id="t", unpriced_tokens=9)),
    ],
)
async def test_what_is_known_of_calls_can_be_asked_later(known: Spent, bill: Bill) -> None:
    async def any_environment(name: str) -> None: ...

    grounds = EnvironmentGrounds(
        Owners(),
        minds=lambda _: Rulebound(),
        worlds=lambda _: Doors(),
        known=any_environment,
        spending=ToldSpending(known={"acme/t": known}),
    )
    assert await grounds.spent("a", "t") == bill
    assert await grounds.spent("a", "u") == Bill(trace_id="u")
    assert await grounds.spent("nobody", "t") == Bill(trace_id="t")


class Thinking:
    """Answers as it is told, or waits for ever."""

    def __init__(self, answer: Thought | AgentCoreError | None) -> None:
        self._answer = answer

    async def think(self, messages: Messages, *, trace_id: str) -> Thought:
        if isinstance(self._answer, AgentCoreError):
            raise self._answer
        self.trace_id = trace_id
        return self._answer or await asyncio.get_running_loop().create_future()


def thought(cost_usd: Decimal | None) -> Thought:
    return Thought(text="{}", tokens=7, cost_usd=cost_usd, provider="scripted")


@pytest.mark.parametrize(
    ("answer", "billed"),
    [
        (thought(Decimal("0.5")), Bill(cost_usd=Decimal("0.5"))),
        (thought(None), Bill(unpriced_tokens=7)),
        (Unavailable("nobody was asked"), Bill()),
        # Somebody may have worked for these: 8 digits and the longest reply.
        (UpstreamTimeout("no answer"), Bill(unpriced_tokens=404)),
        (DeadlineExceeded("no answer"), Bill(unpriced_tokens=404)),
        (None, Bill(unpriced_tokens=404)),
    ],
)
async def test_a_call_is_on_the_bill_however_it_ends(
    answer: Thought | AgentCoreError | None, billed: Bill
) -> None:
    bill = Bill()
    mind = BilledMind(Thinking(answer), bill)
    with suppress(AgentCoreError, TimeoutError):
        async with asyncio.timeout(0.001 if answer is None else 60):
            await mind.think(({"role": "user", "content": "12345678"},), trace_id="t")
    assert bill == billed


async def test_calls_of_a_batch_are_known_by_its_trace() -> None:
    thinking = Thinking(thought(None))
    for bill, known_by in ((Bill(), "t"), (Bill(trace_id="batch"), "batch")):
        await BilledMind(thinking, bill).think((), trace_id="t")
        assert thinking.trace_id == known_by
