"""What hosted agents say and do, and what becomes of their tasks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count

import pytest

from agentcore.a2a_protocol.dispatcher import Caller
from agentcore.a2a_protocol.hosting import Hosting
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.a2a_protocol.models.task import TaskState
from agentcore.a2a_protocol.runtime import A2ARuntime
from agentcore.kit.db import Database
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from tests.fakes.a2a import RecordingObserver, ScriptedAgent, a2a, at, principal, scripted
from tests.fakes.waiting import in_time

CALLER = Caller(principal=principal(), version="1.0")


@dataclass
class Side:
    """One A2A side, called below HTTP."""

    runtime: A2ARuntime
    observer: RecordingObserver = field(default_factory=RecordingObserver)
    numbers: Iterator[int] = field(default_factory=count)

    async def call(self, method: str, **params: JsonValue) -> JsonObject:
        document = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = await self.runtime.dispatcher.answer(json.dumps(document).encode(), CALLER)
        parsed: JsonObject = json.loads(answer.body or b"")
        return parsed

    async def send(self, text: str, *, at_once: bool = False, **members: JsonValue) -> JsonObject:
        """The task after a message of ``text``."""
        message: JsonObject = {
            "messageId": f"m-{next(self.numbers)}",
            "role": "ROLE_USER",
            "parts": [{"text": text}],
            **members,
        }
        options: JsonObject = {"returnImmediately": at_once}
        answer = await self.call("SendMessage", message=message, configuration=options)
        task = at(answer, "result", "task")
        assert isinstance(task, dict)
        return task

    async def heard(self) -> None:
        await asyncio.wait_for(self.observer.heard.wait(), 30)
        self.observer.heard.clear()


@pytest.fixture
async def side(database: Database) -> AsyncIterator[Side]:
    observer = RecordingObserver()
    async with a2a(database, observers=(observer,)) as runtime:
        yield Side(runtime, observer)


def state(task: JsonValue) -> JsonValue:
    return at(task, "status", "state")


def said(task: JsonValue) -> JsonValue:
    return at(task, "status", "message", "parts", 0)


ENDS: list[tuple[str, TaskState, JsonObject | None]] = [
    ("hello there", TaskState.COMPLETED, {"text": "echo: hello there", "mediaType": "text/plain"}),
    ("artifacts", TaskState.COMPLETED, {"data": {"done": True}, "mediaType": "application/json"}),
    ("fail", TaskState.FAILED, {"text": "it cannot be done", "mediaType": "text/plain"}),
    ("refuse", TaskState.FAILED,
     {"text": "the door is closed; open it", "mediaType": "text/plain"}),
    ("crash", TaskState.FAILED,
     {"text": "the agent failed by an error of its own", "mediaType": "text/plain"}),
    ("giveup", TaskState.FAILED,
     {"text": "the agent stopped without an answer", "mediaType": "text/plain"}),
    ("unstorable", TaskState.COMPLETED, {"text": "a\ufffdb?c", "mediaType": "text/plain"}),
    ("twice", TaskState.COMPLETED, {"text": "once", "mediaType": "text/plain"}),
    ("reject", TaskState.REJECTED, {"text": "not for me", "mediaType": "text/plain"}),
    ("auth", TaskState.AUTH_REQUIRED,
     {"text": "sign in at the bank", "mediaType": "text/plain"}),
    ("ask", TaskState.INPUT_REQUIRED, {"text": "which one?", "mediaType": "text/plain"}),
    ("silent", TaskState.COMPLETED, None),
]  # fmt: skip


async def test_how_turns_end(side: Side) -> None:
    ends = {}
    for script, _, _ in ENDS:
        task = await side.send(script)
        last = at(task, "status")
        assert isinstance(last, dict)
        ends[script] = (state(task), said(task) if "message" in last else None)
        assert await side.call("GetTask", id=task["id"]) == {
            "jsonrpc": "2.0",
            "id": 1,
            "result": task,
        }
    assert ends == {script: (end.value, part) for script, end, part in ENDS}


async def test_artifacts_keep_their_parts(side: Side) -> None:
    task = await side.send("artifacts")
    assert at(task, "artifacts", 0, "name") == "all"
    assert at(task, "artifacts", 0, "parts") == [
        {"text": "text", "mediaType": "text/plain"},
        {"data": {"count": 42}, "mediaType": "application/json"},
        {"raw": "Ynl0ZXM=", "filename": "f"},
    ]
    assert at(task, "artifacts", 1, "parts", 0, "url") == "https://example.com/output.txt"


async def test_progress_stays_in_the_history(side: Side) -> None:
    history = (await side.send("progress"))["history"]
    assert isinstance(history, list)
    texts = [at(message, "parts", 0, "text") for message in history]
    assert texts == ["progress", "step 0", "step 1", "step 2"]


async def test_the_agent_gets_the_whole_message(side: Side) -> None:
    await side.send(
        "hello",
        parts=[{"text": "hello"}, {"data": {"n": 1}}, {"text": "you"}],
        metadata={"k": [1]},
        contextId="c" * 300,
    )
    (message,) = scripted(side.runtime).seen
    assert (message.text, message.data, message.metadata) == ("hello\nyou", ({"n": 1},), {"k": [1]})
    assert (message.context_id, message.agent_id) == ("c" * 300, "scripted")
    assert (message.principal, len(message.parts)) == (CALLER.principal, 3)


async def test_messages_find_their_agent(side: Side) -> None:
    await side.send("a", metadata={"agent_id": "second"})
    message: JsonObject = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "b"}]}
    await side.call("SendMessage", message=message, tenant="second")
    await side.call("SendMessage", message=message, metadata={"agent_id": "second"})
    assert [seen.text for seen in scripted(side.runtime, "second").seen] == ["a", "b", "b"]
    assert scripted(side.runtime).seen == []


async def test_a_turn_needs_only_its_task(side: Side) -> None:
    """Three turns; those after the first name neither context nor agent."""
    first = await side.send("ask", metadata={"agent_id": "second"})
    second = await side.send("ask", taskId=first["id"])
    third = await side.send("done", taskId=first["id"])
    assert {second["id"], third["id"]} == {first["id"]}
    assert {second["contextId"], third["contextId"]} == {first["contextId"]}
    assert [state(task) for task in (first, second, third)] == [
        "TASK_STATE_INPUT_REQUIRED",
        "TASK_STATE_INPUT_REQUIRED",
        "TASK_STATE_COMPLETED",
    ]
    assert len(scripted(side.runtime, "second").seen) == 3
    history = third["history"]
    assert isinstance(history, list)
    assert [at(message, "role") for message in history] == [
        "ROLE_USER", "ROLE_AGENT", "ROLE_USER", "ROLE_AGENT", "ROLE_USER",
    ]  # fmt: skip


async def test_an_ended_task_takes_no_message(side: Side) -> None:
    task = await side.send("hello")
    message: JsonObject = {
        "messageId": "m", "role": "ROLE_USER", "parts": [{"text": "x"}], "taskId": task["id"],
    }  # fmt: skip
    assert at(await side.call("SendMessage", message=message), "error", "code") == -32004
    other = {**message, "contextId": "elsewhere"}
    waiting = await side.send("ask")
    answer = await side.call("SendMessage", message={**other, "taskId": waiting["id"]})
    assert at(answer, "error", "code") == -32602


async def test_a_send_may_return_before_the_agent(side: Side) -> None:
    task = await side.send("wait", at_once=True)
    assert state(task) == "TASK_STATE_SUBMITTED"
    scripted(side.runtime).go.set()
    await side.heard()
    found = await side.call("GetTask", id=task["id"])
    assert state(found["result"]) == "TASK_STATE_COMPLETED"


async def test_a_blocking_send_has_its_limit(database: Database) -> None:
    config = A2AConfig.model_validate({"blocking_seconds": 0.3})
    async with a2a(database, config=config) as runtime:
        task = await Side(runtime).send("wait")
    assert state(task) in {"TASK_STATE_SUBMITTED", "TASK_STATE_WORKING"}


@pytest.mark.parametrize("method", ["CancelTask", "tasks/cancel", "task.cancel"])
async def test_cancelling_reaches_the_agent(side: Side, method: str) -> None:
    task = await side.send("wait", at_once=True)
    while not scripted(side.runtime).seen:
        await asyncio.sleep(0.001)
    old = Caller(principal=CALLER.principal, version="" if "/" in method else "1.0")
    params = {"task_id" if "." in method else "id": task["id"]}
    document = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer = await side.runtime.dispatcher.answer(json.dumps(document).encode(), old)
    done = json.loads(answer.body or b"")["result"]
    assert state(done) in {"TASK_STATE_CANCELED", "canceled"}
    await side.heard()
    assert scripted(side.runtime).cancelled == [task["id"]]
    assert [outcome.success for outcome in side.observer.outcomes] == [False]
    again = await side.call("CancelTask", id=task["id"])
    assert at(again, "error", "code") == -32002


async def test_cancelling_a_task_that_waits_for_its_client(side: Side) -> None:
    task = await side.send("ask")
    done = await side.call("CancelTask", id=task["id"])
    assert state(done["result"]) == "TASK_STATE_CANCELED"
    await side.heard()
    assert len(side.observer.outcomes) == 1


async def test_observers_hear_of_each_end_once(side: Side) -> None:
    for script in ("hello", "fail", "crash", "report"):
        await side.send(script)
        await side.heard()
    told = side.observer.outcomes
    assert [(outcome.success, outcome.error_message) for outcome in told] == [
        (True, None),
        (False, "it cannot be done"),
        (False, "the agent failed by an error of its own"),
        (True, None),
    ]
    assert {(outcome.agent_id, outcome.tenant) for outcome in told} == {("scripted", "acme")}
    last = told[-1]
    assert (last.tokens, last.cost_usd, last.output_quality) == (10, Decimal("0.75"), 0.5)
    assert (last.playbook, last.metadata["steps"]) == ({"version": 2}, 3)
    await side.runtime.upkeep.tend()
    assert len(told) == 4


async def test_one_task_behind_all_methods(side: Side) -> None:
    task = await side.send("hello")
    assert (await side.call("task.query", task_id=task["id"]))["result"] == task
    page = await side.call("task.query", filter={"state": "TASK_STATE_COMPLETED"})
    assert at(page, "result", "tasks") == [task]
    listed = await side.call("ListTasks", contextId=task["contextId"])
    assert at(listed, "result", "tasks", 0, "id") == task["id"]
    assert at(listed, "result", "nextPageToken") == ""
    failed = await side.call("task.query", filter={"state": "TASK_STATE_FAILED"})
    assert at(failed, "result", "tasks") == []


async def test_chunks_are_appended(side: Side) -> None:
    task = await side.send("chunks")
    assert at(task, "artifacts", 0, "name") == "log"
    parts = at(task, "artifacts", 0, "parts")
    assert isinstance(parts, list)
    assert [at(part, "text") for part in parts] == [f"line {number}" for number in range(400)]
    assert at(task, "artifacts", 1, "parts", 0, "text") == "of another artifact"
    assert at(await side.call("GetTask", id=task["id"]), "result") == task


async def test_a_repeated_message_is_answered_by_its_task(side: Side) -> None:
    first = await side.send("hello", messageId="same")
    assert await side.send("hello", messageId="same") == first
    other = await side.send("something else", messageId="same")
    assert other["id"] != first["id"]
    waiting = await side.send("ask", messageId="q")
    answers = [await side.send("that", messageId="a", taskId=waiting["id"]) for _ in range(2)]
    assert answers[0] == answers[1]
    assert len(scripted(side.runtime).seen) == 4


async def test_the_same_message_at_once_begins_one_task(side: Side) -> None:
    sent = [side.send("hello", messageId="same") for _ in range(8)]
    tasks = await asyncio.gather(*sent)
    assert len({str(task["id"]) for task in tasks}) == 1
    assert {str(state(task)) for task in tasks} == {"TASK_STATE_COMPLETED"}
    assert len(scripted(side.runtime).seen) == 1


async def test_a_message_to_a_task_at_work_is_its_next_turn(side: Side) -> None:
    task = await side.send("wait", at_once=True)
    sending = asyncio.ensure_future(side.send("more", taskId=task["id"]))
    await asyncio.sleep(0.01)
    assert not sending.done()
    scripted(side.runtime).go.set()
    refused = await asyncio.gather(sending, return_exceptions=True)
    assert isinstance(refused[0], KeyError), "it had ended by then: -32004"


async def test_a_deadline_ends_the_turn_with_a_reason(side: Side) -> None:
    agent = scripted(side.runtime)

    async def end(seconds: float) -> None:
        agent.seen.clear()
        agent.cancelled.clear()
        task = await side.send("wait", metadata={"deadline_seconds": seconds})
        assert state(task) == "TASK_STATE_FAILED"
        assert at(said(task), "text") == f"the deadline of {seconds:g} seconds has passed"
        assert agent.cancelled == [task["id"]]
        (message,) = agent.seen
        assert message.deadline is not None
        assert message.metadata == {}

    await in_time(end, 0.05)


async def test_an_agent_that_will_not_stop_does_not_undo_a_cancellation(
    database: Database,
) -> None:
    config = A2AConfig.model_validate({"cancel_seconds": 0.05})
    async with a2a(database, config=config) as runtime:
        side = Side(runtime)
        task = await side.send("stubborn", at_once=True)
        while not scripted(runtime).seen:
            await asyncio.sleep(0.001)
        done = await side.call("CancelTask", id=task["id"])
        assert state(done["result"]) == "TASK_STATE_CANCELED"
        found = await side.call("GetTask", id=task["id"])
        assert state(found["result"]) == "TASK_STATE_CANCELED"


async def test_an_agent_works_on_as_many_tasks_as_it_may(side: Side) -> None:
    agent = ScriptedAgent()
    side.runtime.hosted.add(Hosting(agent_id="one", agent=agent, concurrency=1))
    meta: JsonObject = {"agent_id": "one"}
    first = await side.send("wait", at_once=True, metadata=meta)
    second = await side.send("hello", at_once=True, metadata=meta)
    third = await side.send("hello you", at_once=True, metadata=meta)
    while not agent.seen:
        await asyncio.sleep(0.001)
    found = await side.call("GetTask", id=second["id"])
    assert state(found["result"]) == "TASK_STATE_SUBMITTED"
    done = await side.call("CancelTask", id=third["id"])
    assert state(done["result"]) == "TASK_STATE_CANCELED"
    agent.go.set()
    for _ in range(3):
        await side.heard() if len(side.observer.outcomes) < 3 else None
    assert [message.text for message in agent.seen] == ["wait", "hello"]
    found = await side.call("GetTask", id=first["id"])
    assert state(found["result"]) == "TASK_STATE_COMPLETED"
