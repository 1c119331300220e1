"""Tasks when a process dies, and when two processes share a database."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import httpx2
import pytest

from agentcore.a2a_protocol.dispatcher import Caller
from agentcore.a2a_protocol.hosting import HostedAgents, Hosting
from agentcore.a2a_protocol.models.agent import AgentStatus, Move
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.a2a_protocol.runtime import A2ARuntime
from agentcore.kit.clock import SystemClock
from agentcore.kit.db import Database
from agentcore.kit.jsonvalue import JsonObject, JsonValue, objects_of
from agentcore.kit.supervisor import Supervisor
from tests.fakes.a2a import (
    RecordingObserver,
    ScriptedAgent,
    SharedChannel,
    a2a,
    app_of,
    at,
    known_agents,
    principal,
    scripted,
    served,
)
from tests.fakes.clock import ManualClock

CALLER = Caller(principal=principal(), version="1.0")
ADMIN = principal("root", scopes=("admin",))
ROOT = Path(__file__).parents[2]
VICTIM = """
import asyncio, sys
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.kit.db import open_database
from agentcore.kit.models import DatabaseConfig
from tests.fakes.a2a import a2a
from tests.fakes.a2a import app_of, served

class Busy:
    async def task_finished(self, outcome):
        await asyncio.sleep(600)

async def main():
    async with (
        open_database(DatabaseConfig(), sys.argv[1]) as database,
        a2a(
            database,
            config=A2AConfig.model_validate_json(*sys.argv[2:] or ["{}"]),
            observers=(Busy(),),
        ) as runtime,
        served(app_of(runtime)) as url,
    ):
        print(url, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


async def call(runtime: A2ARuntime, method: str, **params: JsonValue) -> JsonObject:
    document = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer = await runtime.dispatcher.answer(json.dumps(document).encode(), CALLER)
    parsed: JsonObject = json.loads(answer.body or b"")
    return parsed


async def begin(runtime: A2ARuntime) -> str:
    """A task whose agent waits; acknowledged by its id."""
    message: JsonObject = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "wait"}]}
    options: JsonObject = {"returnImmediately": True}
    answer = await call(runtime, "SendMessage", message=message, configuration=options)
    return str(at(answer, "result", "task", "id"))


async def state(runtime: A2ARuntime, task_id: str) -> JsonValue:
    return at(await call(runtime, "GetTask", id=task_id), "result", "status", "state")


@dataclass
class Reader:
    """A client's side of one stream: the ids that came, and their events."""

    ids: list[int] = field(default_factory=list)
    events: list[JsonObject] = field(default_factory=list)

    async def read(self, lines: AsyncIterator[str], most: int = 10_000) -> None:
        async for line in lines:
            name, _, value = line.partition(": ")
            if name == "id":
                self.ids.append(int(value))
            elif name == "data":
                self.events.append(json.loads(value)["result"])
                if len(self.events) >= most:
                    return

    @property
    def task_id(self) -> str:
        return str(at(self.events[0], "task", "id"))

    @property
    def lines(self) -> list[JsonValue]:
        updates = [event["artifactUpdate"] for event in self.events if "artifactUpdate" in event]
        return [at(update, "artifact", "parts", 0, "text") for update in updates]


def request(method: str, **params: JsonValue) -> JsonObject:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def message(text: str, **members: JsonValue) -> JsonObject:
    return {"messageId": f"m-{text}", "role": "ROLE_USER", "parts": [{"text": text}], **members}


@asynccontextmanager
async def stream(
    url: str, body: JsonObject, last: int | None = None
) -> AsyncIterator[AsyncIterator[str]]:
    headers = {"a2a-version": "1.0"} | ({} if last is None else {"last-event-id": str(last)})
    async with (
        httpx2.AsyncClient(base_url=url, headers=headers, timeout=60) as http,
        http.stream("POST", "/a2a", json=body) as response,
    ):
        assert response.headers["content-type"].startswith("text/event-stream"), (
            await response.aread()
        )
        yield response.aiter_lines()


async def victim_of(
    database_url: str, config: str = "{}"
) -> tuple[asyncio.subprocess.Process, str]:
    """A service in a process of its own, to be killed, and its address."""
    pipe = asyncio.subprocess.PIPE
    victim = await asyncio.create_subprocess_exec(
        sys.executable, "-c", VICTIM, database_url, config, cwd=ROOT, stdout=pipe
    )
    assert victim.stdout is not None
    return victim, (await asyncio.wait_for(victim.stdout.readline(), 40)).decode().strip()


async def heard_of(observer: RecordingObserver, tasks: int) -> None:
    async with asyncio.timeout(60):
        while len(observer.outcomes) < tasks:
            await asyncio.sleep(0.005)


async def streamed(url: str, text: str) -> str:
    """The id of a task that has ended."""
    reader = Reader()
    async with stream(url, request("SendStreamingMessage", message=message(text))) as lines:
        await reader.read(lines)
    return reader.task_id


async def test_a_process_killed_amid_a_stream_loses_no_event(
    database: Database, database_url: str, supervisor: Supervisor
) -> None:
    """Its agent drains at that time: the task's end, whoever writes it, is the drain's."""
    victim, url = await victim_of(database_url)
    before, reader = await streamed(url, "hi"), Reader()
    async with stream(url, request("SendStreamingMessage", message=message("shown"))) as lines:
        await reader.read(lines, most=20)
        hosted = HostedAgents()
        hosted.add(Hosting(agent_id="scripted", agent=ScriptedAgent()))
        draining = known_agents(database, supervisor, SystemClock(), hosted=hosted)
        moved = await draining.agents.move("scripted", Move.DRAIN, ADMIN)
        await reader.read(lines, most=40)
        victim.send_signal(signal.SIGKILL)
        # What was on its way when it died.
        with suppress(httpx2.HTTPError):
            await reader.read(lines)
    await victim.wait()
    task_id = reader.task_id
    observer = RecordingObserver()
    later = ManualClock(datetime.now(UTC) + timedelta(minutes=5))
    reason = "the process that ran this task was lost"
    async with (
        a2a(database, clock=later, observers=(observer,)) as runtime,
        served(app_of(runtime)) as url,
    ):
        await heard_of(observer, 2)
        await runtime.known.upkeep.tend()
        rested = await runtime.agents.get("scripted", ADMIN)
        follow = request("SubscribeToTask", id=task_id)
        async with stream(url, follow, last=reader.ids[-1]) as lines:
            await reader.read(lines)
        found = (await call(runtime, "GetTask", id=task_id))["result"]
        refused = await call(runtime, "SubscribeToTask", id=task_id)
    assert reader.ids == list(range(1, len(reader.ids) + 1)), "no event is missing, none twice"
    assert at(reader.events[-1], "statusUpdate", "status", "state") == "TASK_STATE_FAILED"
    assert at(found, "status", "message", "parts", 0, "text") == reason
    parts = at(found, "artifacts", 0, "parts")
    assert isinstance(parts, list)
    assert [at(part, "text") for part in parts] == reader.lines
    assert reader.lines == [f"line {number}" for number in range(len(reader.lines))]
    assert (moved.status, rested.status) == (AgentStatus.DRAINING, AgentStatus.SUSPENDED)
    assert at(refused, "error", "code") == -32004
    heard = {each.task_id: (each.error_message, each.playbook) for each in observer.outcomes}
    # The end of the first was stored, and its observer busy with it.
    assert heard == {before: (None, None), task_id: (reason, {"version": 2})}
    assert len(observer.outcomes) == 2


async def test_a_stream_is_taken_up_through_another_process(
    pair: tuple[A2ARuntime, A2ARuntime],
) -> None:
    one, two = pair
    reader = Reader()
    async with served(app_of(one)) as first, served(app_of(two)) as second:
        body = request("SendStreamingMessage", message=message("stream"))
        async with stream(first, body) as lines:
            await reader.read(lines, most=30)
        follow = request("SubscribeToTask", id=reader.task_id)
        async with stream(second, follow, last=reader.ids[-1]) as lines:
            await reader.read(lines, most=30)
        # A repetition of the message finds its task, too.
        async with stream(second, body, last=reader.ids[-1]) as lines:
            await reader.read(lines, most=30)
            scripted(one).go.set()
            await reader.read(lines)
    assert reader.ids == list(range(1, len(reader.ids) + 1))
    assert at(reader.events[-1], "statusUpdate", "status", "state") == "TASK_STATE_COMPLETED"
    assert reader.lines[-1] == "end"
    assert len(scripted(one).seen) + len(scripted(two).seen) == 1


@pytest.fixture
async def observers() -> tuple[RecordingObserver, RecordingObserver]:
    return RecordingObserver(), RecordingObserver()


@pytest.fixture
async def pair(
    database: Database, observers: tuple[RecordingObserver, RecordingObserver]
) -> AsyncIterator[tuple[A2ARuntime, A2ARuntime]]:
    channel = SharedChannel()
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(
            a2a(database, channel=channel, observers=(observers[0],))
        )
        two = await stack.enter_async_context(
            a2a(database, channel=channel, observers=(observers[1],))
        )
        yield one, two


async def test_a_task_is_followed_through_another_process(
    pair: tuple[A2ARuntime, A2ARuntime],
) -> None:
    one, two = pair
    task_id = await begin(one)
    follow = {"jsonrpc": "2.0", "id": 1, "method": "SubscribeToTask", "params": {"id": task_id}}
    events: list[JsonObject] = []
    async with (
        served(app_of(two)) as url,
        httpx2.AsyncClient(base_url=url, headers={"a2a-version": "1.0"}, timeout=60) as http,
        http.stream("POST", "/a2a", json=follow) as response,
    ):
        async for line in response.aiter_lines():
            if not line.startswith("data: "):
                continue
            events.append(json.loads(line.removeprefix("data: "))["result"])
            scripted(one).go.set()
    assert at(events[0], "task", "id") == task_id
    assert {at(event, "statusUpdate", "taskId") for event in events[1:]} == {task_id}
    assert at(events[-1], "statusUpdate", "status", "state") == "TASK_STATE_COMPLETED"


async def test_a_task_is_cancelled_through_another_process(
    pair: tuple[A2ARuntime, A2ARuntime],
    observers: tuple[RecordingObserver, RecordingObserver],
) -> None:
    one, two = pair
    task_id = await begin(one)
    while not scripted(one).seen:
        await asyncio.sleep(0.001)
    done = await call(two, "CancelTask", id=task_id)
    assert at(done, "result", "status", "state") == "TASK_STATE_CANCELED"
    await asyncio.wait_for(observers[0].heard.wait(), 30)
    while scripted(one).cancelled != [task_id]:
        await asyncio.sleep(0.001)
    assert await state(one, task_id) == await state(two, task_id) == "TASK_STATE_CANCELED"
    assert (len(observers[0].outcomes), observers[1].outcomes) == (1, [])


async def test_a_turn_continues_in_another_process(pair: tuple[A2ARuntime, A2ARuntime]) -> None:
    one, two = pair
    message: JsonObject = {"messageId": "m1", "role": "ROLE_USER", "parts": [{"text": "ask"}]}
    asked = await call(one, "SendMessage", message=message)
    reply: JsonObject = {
        **message,
        "messageId": "m2",
        "parts": [{"text": "that"}],
        "taskId": at(asked, "result", "task", "id"),
    }
    done = await call(two, "SendMessage", message=reply)
    assert at(done, "result", "task", "status", "state") == "TASK_STATE_COMPLETED"
    assert at(done, "result", "task", "contextId") == at(asked, "result", "task", "contextId")
    again: JsonObject = {**reply, "messageId": "m3"}
    late = await call(one, "SendMessage", message=again)
    assert at(late, "error", "code") == -32004


async def test_messages_to_one_task_come_one_after_the_other(
    pair: tuple[A2ARuntime, A2ARuntime],
) -> None:
    """However many there are at once, and through which process."""

    def asking(text: str, **members: JsonValue) -> JsonObject:
        return {**message("ask"), "messageId": text, **members}

    asked = await call(pair[0], "SendMessage", message=asking("m"))
    task_id = at(asked, "result", "task", "id")
    answers = await asyncio.gather(
        *(
            call(pair[n % 2], "SendMessage", message=asking(f"m{n}", taskId=task_id))
            for n in range(12)
        )
    )
    states = {at(each, "result", "task", "status", "state") for each in answers}
    assert states == {"TASK_STATE_INPUT_REQUIRED"}
    task = at(await call(pair[0], "GetTask", id=task_id), "result")
    said = [each["messageId"] for each in objects_of(at(task, "history"))]
    assert {f"m{n}" for n in range(12)} < set(map(str, said))


async def test_a_message_waits_for_the_end_of_a_turn_as_long_as_a_blocking_send(
    database: Database,
) -> None:
    config = A2AConfig.model_validate({"blocking_seconds": 0.02})
    async with a2a(database, config=config) as runtime:
        task_id = await begin(runtime)
        late = await call(runtime, "SendMessage", message=message("x", taskId=task_id))
        assert at(late, "error", "data", "code") == "conflict"
        assert "send the message again" in str(at(late, "error", "data", "hint"))


async def test_without_word_from_others_a_process_finds_out_by_looking(
    database: Database, observers: tuple[RecordingObserver, RecordingObserver]
) -> None:
    """Redis is away: a cancellation reaches the agent all the same."""
    async with a2a(database, observers=(observers[0],)) as one, a2a(database) as two:
        task_id = await begin(one)
        done = await call(two, "CancelTask", id=task_id)
        assert at(done, "result", "status", "state") == "TASK_STATE_CANCELED"
        await asyncio.wait_for(observers[0].heard.wait(), 30)


async def test_no_replica_begins_a_task_once_an_agent_drains(
    pair: tuple[A2ARuntime, A2ARuntime],
) -> None:
    """Tasks are sent through both while one of them is told to drain the agent."""
    one, two = pair
    drained = asyncio.Event()
    late: list[JsonObject] = []

    async def sending(runtime: A2ARuntime, name: str) -> None:
        after = 0
        for number in count():
            before = drained.is_set()
            said = message(f"{name}-{number}")
            answer = await call(runtime, "SendMessage", message=said)
            after += before
            if before:
                late.append(answer)
            if after == 10:
                return

    async def draining() -> None:
        await asyncio.sleep(0)
        await one.agents.move("scripted", Move.DRAIN, ADMIN)
        drained.set()

    await asyncio.gather(sending(one, "a"), sending(two, "b"), draining())
    assert {at(answer, "error", "code") for answer in late} == {-32055}
