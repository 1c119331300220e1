"""The log of what was handed on: what it is told, and what it keeps."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from pydantic import ValidationError

from agentcore.a2a_protocol.delegation.interactions import Interactions
from agentcore.a2a_protocol.delegation.models import Asked, Delegation
from agentcore.a2a_protocol.delegation.store import InteractionStore
from agentcore.a2a_protocol.errors import TaskNotCancelable
from agentcore.a2a_protocol.models.handover import EXTENSION, Handover, Hop
from agentcore.a2a_protocol.models.remote import RemoteTask
from agentcore.a2a_protocol.models.task import Owner, TaskState
from agentcore.a2a_protocol.ports import TaskOutcome
from agentcore.a2a_protocol.remote.store import RemoteTaskStore
from agentcore.a2a_protocol.tasks.store import VersionedTaskStore
from agentcore.kit.db import Database
from agentcore.kit.jsonvalue import JsonObject, objects_of
from tests.fakes.a2a import principal
from tests.fakes.a2a_tasks import ALICE, BOB, NOW, begin, record
from tests.fakes.clock import ManualClock

BOSS = Hop(installation="here", agent="boss", task="t1")
POET = Hop(installation="here", agent="poet", task="t2")
HANDOVER = Handover(chain=(BOSS, POET), budget_usd=Decimal("2.5"))


def outcome(task_id: str, *, success: bool, handed: bool = True) -> TaskOutcome:
    return TaskOutcome(
        agent_id="poet",
        task_id=task_id,
        tenant="acme",
        execution_time=1.5,
        success=success,
        tokens=7,
        cost_usd=Decimal("0.25"),
        handover={"chain": []} if handed else {},
    )


async def rows(log: Interactions, **asked: str | int) -> list[JsonObject]:
    page = await log.page(principal(), Asked.model_validate(asked))
    return objects_of(page["interactions"])


async def test_beginning_and_end(database: Database) -> None:
    cancelled: list[str] = []

    async def cancel(owner: Owner, task_id: str) -> None:
        cancelled.append(task_id)
        raise TaskNotCancelable(task_id)

    tasks, store = VersionedTaskStore(database), InteractionStore(database)
    log = Interactions(store, cancel, ManualClock(NOW + timedelta(seconds=9)))
    for task_id, state in (("t1", TaskState.FAILED), ("t2", TaskState.WORKING)):
        await begin(tasks, record(task_id, state=state))
    made = record("t2")
    await log.began(made, HANDOVER)
    await log.began(made, HANDOVER)
    (row,) = await rows(log)
    assert (row["source_task"], row["budget_usd"], row["cost_usd"]) == ("t1", "2.5", None)
    assert await store.running_for("t1", "acme") == [("t2", ALICE)]
    assert await store.running_for("t1", "evil") == []
    assert await store.spent("t1", "acme") == Decimal("2.5"), "it may still cost all of that"
    assert await store.spent("t1", "evil") == 0
    await log.task_finished(outcome("t1", success=True, handed=False))
    assert cancelled == []
    await log.task_finished(outcome("t1", success=False, handed=False))
    assert cancelled == ["t2"]
    await log.task_finished(outcome("t2", success=True))
    (row,) = await rows(log, agent_id="boss")
    assert (row["tokens"], row["seconds"], row["cost_usd"]) == (7, 1.5, "0.25")
    assert await store.spent("t1", "acme") == Decimal("0.25")
    assert await store.spent("t2", "acme") == 0


async def test_costs_of_those_behind_count_and_count_once(database: Database) -> None:
    """t1 -> t2 -> t3 -> t4, and t4 -> t2 by whoever invents a circle; t5 goes on, for t4."""
    tasks, store = VersionedTaskStore(database), InteractionStore(database)
    log = Interactions(store, _nothing, ManualClock(NOW))
    for task_id in ("t1", "t2", "t3", "t4", "t5"):
        await begin(tasks, record(task_id))
    for source, task_id in (("t1", "t2"), ("t2", "t3"), ("t3", "t4"), ("t4", "t5")):
        chain = (Hop(installation="here", agent="boss", task=source), POET)
        budget = Decimal(2) if task_id == "t5" else None
        await log.began(record(task_id), Handover(chain=chain, budget_usd=budget))
    for task_id in ("t2", "t3", "t4"):
        await log.task_finished(outcome(task_id, success=True))
    assert await store.spent("t1", "acme") == Decimal("2.75"), "t5 may still cost all of its 2"
    assert (await store.below("t1", "acme")).as_json() == {"cost_usd": "0.75", "tokens": 21}
    assert (await store.below("t3", "acme")).as_json() == {"cost_usd": "0.25", "tokens": 7}
    assert not await store.below("t1", "evil")
    # Who names another's task as the one that he works for costs its owner nothing.
    forged = record("t6", BOB)
    await begin(tasks, forged)
    await log.began(forged, Handover(chain=(BOSS, POET), budget_usd=Decimal(9)))
    assert await store.spent("t1", "acme") == Decimal("2.75")
    assert [each for each, _ in await store.running_for("t1", "acme")] == ["t2"]
    # What runs elsewhere has told the cost of all behind it.
    await RemoteTaskStore(database).bind(
        RemoteTask(task_id="t3", agent_id="poet", remote_id="r", context_id="")
    )
    assert (await store.below("t1", "acme")).as_json() == {"cost_usd": "0.50", "tokens": 14}
    assert not await store.below("t3", "acme")


async def test_siblings_never_have_more_than_there_is(database: Database) -> None:
    """As fast as the database takes them, over connections as of two processes."""
    tasks, store = VersionedTaskStore(database), InteractionStore(database)
    logs = [Interactions(each, _nothing, ManualClock(NOW)) for each in (store, store)]
    children = [f"c{number}" for number in range(24)]
    for task_id in ("t1", *children):
        await begin(tasks, record(task_id))
    await logs[0].began(record("t1"), Handover(chain=(BOSS,), budget_usd=Decimal(2)))
    # What an agent elsewhere lets others do here counts all the same.
    await RemoteTaskStore(database).bind(
        RemoteTask(task_id="t1", agent_id="boss", remote_id="r", context_id="")
    )
    held: dict[str, Decimal] = {}

    async def ask(task_id: str, log: Interactions, budget: Decimal | None) -> None:
        wanted = Handover(chain=(BOSS, POET), budget_usd=budget)
        granted = await log.began(record(task_id), wanted)
        assert granted.budget_usd is not None
        held[task_id] = granted.budget_usd

    spent = Decimal(0)
    for start in range(0, len(children), 6):
        wishes = [Decimal("0.3"), Decimal("0.5"), Decimal("0.7"), Decimal(9), None, Decimal(0)]
        mine = zip(children[start:], logs * 3, wishes, strict=False)
        await asyncio.gather(*(ask(*each) for each in mine))
        assert sum(held.values()) + spent == 2, "one takes all that is left"
        ended = max(held, key=lambda each: held[each])
        cost = held.pop(ended) / 2
        await logs[0].task_finished(replace(outcome(ended, success=True), cost_usd=cost))
        spent += cost


async def _nothing(owner: Owner, task_id: str) -> None:
    """Nobody is cancelled."""


@pytest.mark.parametrize(
    "params",
    [
        {}, {"message": 5}, {"message": "x", "deadline_seconds": 0}, {"message": "x", "what": 1},
        {"message": "x", "budget_usd": "NaN"}, {"message": "x", "budget_usd": "1e999999"},
        {"message": "x", "budget_usd": "1e-999999"}, {"message": "x", "wait_seconds": 3601},
        {"message": "x", "capabilities": [""]},
    ],
)  # fmt: skip
def test_what_is_no_delegation(params: JsonObject) -> None:
    with pytest.raises(ValidationError):
        Delegation.model_validate(params)


SAID: JsonObject = {"messageId": "m", "parts": [{"text": "x"}]}


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"wait_seconds": 3}, True),
        ({"deadline_seconds": 3}, True),
        ({"budget_usd": "3"}, True),
        ({"message": {**SAID, "metadata": {EXTENSION: {"deadline_seconds": 3}}}}, True),
        ({"capabilities": ["b", "a"]}, True),
        ({"capabilities": ["a"]}, False),
        ({"skills": ["a"]}, False),
        ({"target_agent": "poet"}, False),
        ({"task_id": "t"}, False),
        ({"private": True}, False),
        ({"message": {**SAID, "messageId": "n"}}, False),
        ({"message": {**SAID, "parts": [{"text": "y"}]}}, False),
    ],
)
def test_what_makes_a_delegation_the_same(changed: JsonObject, same: bool) -> None:
    wanted = {"message": SAID, "capabilities": ["a", "b"]}
    first, later = (Delegation.model_validate({**wanted, **each}) for each in ({}, changed))
    assert (first.repeats(0) == later.repeats(0)) is same
    assert first.repeats(0) != first.repeats(1)
    others: list[str | JsonObject] = ["text", {"parts": SAID["parts"]}, {"messageId": "m"}]
    for without in others:
        assert Delegation(message=without).repeats(0) == ""
