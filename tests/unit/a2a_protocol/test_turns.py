"""Turns at their edges; what they do for agents is in tests/contracts/a2a/test_executor.py."""

from __future__ import annotations

import asyncio

from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.a2a_protocol.models.task import TaskState
from agentcore.a2a_protocol.models.turn import Sent
from agentcore.a2a_protocol.runtime import A2ARuntime
from agentcore.a2a_protocol.task_manager import Begun
from agentcore.kit.db import Database
from agentcore.kit.jsonvalue import JsonObject
from tests.fakes.a2a import a2a, at, principal, scripted
from tests.fakes.a2a_tasks import ALICE


async def sent(runtime: A2ARuntime, text: str) -> Begun:
    message: JsonObject = {"messageId": text, "role": "ROLE_USER", "parts": [{"text": text}]}
    return await runtime.manager.send(Sent(principal=principal(), message=message))


async def test_a_turn_that_is_cancelled_before_it_begins_does_not_begin(
    database: Database,
) -> None:
    async with a2a(database) as runtime:
        begun = await sent(runtime, "wait")
        task = await runtime.manager.cancel(ALICE, begun.record.task_id)
        assert task["status"] is not None
        assert begun.turn is not None
        assert begun.turn.journal.record.state is TaskState.CANCELED
        seen = len(scripted(runtime).seen)
        assert len(scripted(runtime).cancelled) == seen


async def test_a_task_that_waits_is_cancelled_though_its_agent_lingers(database: Database) -> None:
    async with a2a(database) as runtime:
        begun = await sent(runtime, "linger")
        snapshot = await runtime.manager.settled(begun, 10)
        assert snapshot.head["status"] != {}
        task = await runtime.manager.cancel(ALICE, begun.record.task_id)
        assert at(task, "status", "state") == TaskState.CANCELED
        scripted(runtime).go.set()


async def test_many_cancel_at_once_and_one_of_them_does(database: Database) -> None:
    async with a2a(database) as runtime:
        begun = await sent(runtime, "wait")
        task_id = begun.record.task_id
        cancelling = [runtime.manager.cancel(ALICE, task_id) for _ in range(5)]
        answers = await asyncio.gather(*cancelling, return_exceptions=True)
        assert any(isinstance(answer, dict) for answer in answers)
        snapshot = await runtime.manager.settled(begun, 10)
        ends = [event async for event in runtime.followers.follow(begun.record, 0)]
        assert snapshot.version == ends[-1].seq if ends[-1] is not None else 0
        states = [event.state for event in ends if event is not None]
        assert states.count(TaskState.CANCELED) == 1


async def test_a_turn_leaves_nothing_behind(database: Database) -> None:
    async with a2a(database) as runtime:
        for text in ("hello", "fail", "crash", "ask", "silent"):
            begun = await sent(runtime, text)
            await runtime.manager.settled(begun, 10)
            assert begun.turn is not None
            while begun.turn.feed.local:
                await asyncio.sleep(0.001)
            assert begun.turn.feed.holders == 0


async def test_stopping_waits_for_what_is_stored(database: Database) -> None:
    config = A2AConfig.model_validate({"cancel_seconds": 0.01})
    async with a2a(database, config=config) as runtime:
        stubborn = await sent(runtime, "stubborn")
        waiting = await sent(runtime, "wait")
    for begun in (stubborn, waiting):
        assert begun.turn is not None
        assert begun.turn.journal.record.state is TaskState.FAILED
