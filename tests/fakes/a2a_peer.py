"""An agent elsewhere: the official SDK's own server, over real HTTP, and a line that can break."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from a2a.client.card_resolver import parse_agent_card
from a2a.helpers import new_text_part
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import a2a_pb2 as pb
from starlette.applications import Starlette
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentcore.a2a_protocol.remote.store import RemoteTaskStore
from agentcore.kit.db import Database
from agentcore.kit.jsonvalue import JsonObject
from tests.fakes.a2a import served


class PeerAgent(AgentExecutor):
    """Does what the first word of the message says; echoes anything else."""

    def __init__(self) -> None:
        self.seen: list[pb.Message] = []
        self.cancelled: list[str] = []
        self.go = asyncio.Event()

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        assert context.message
        assert context.task_id
        assert context.context_id
        self.seen.append(context.message)
        task = TaskUpdater(event_queue, context.task_id, context.context_id)
        if context.current_task is None:
            await event_queue.enqueue_event(
                pb.Task(
                    id=context.task_id,
                    context_id=context.context_id,
                    status=pb.TaskStatus(state=pb.TaskState.TASK_STATE_SUBMITTED),
                    history=[context.message],
                )
            )
        await task.start_work()
        text = context.get_user_input()
        act = getattr(self, f"_{text.partition(' ')[0]}", None)
        if act is None:
            await task.complete(task.new_agent_message([new_text_part(f"echo: {text}")]))
        else:
            await act(task)

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        assert context.task_id
        assert context.context_id
        self.cancelled.append(context.task_id)
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()

    async def _chunks(self, task: TaskUpdater) -> None:
        for number in range(6):
            await task.add_artifact(
                [new_text_part(f"line {number}")],
                artifact_id="log",
                name="log",
                append=number > 0,
                last_chunk=number == 5,
            )
            if number == 2:
                await self.go.wait()
        await task.complete(task.new_agent_message([new_text_part("six lines")]))

    async def _wait(self, task: TaskUpdater) -> None:
        await self.go.wait()
        await task.complete()

    async def _ask(self, task: TaskUpdater) -> None:
        await task.requires_input(task.new_agent_message([new_text_part("which one?")]))

    async def _fail(self, task: TaskUpdater) -> None:
        await task.add_artifact([new_text_part("half of it")], name="draft")
        await task.failed(task.new_agent_message([new_text_part("it cannot be done")]))


class Line:
    """Between the caller and the peer: keeps what was asked, and breaks when it is told to."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.asked: list[JsonObject] = []
        self.headers: list[dict[str, str]] = []
        # How many pieces of each coming answer get through; None lets all pass.
        self.break_after: list[int | None] = []
        # Pieces that come twice, as what happens while a task is read does with some servers.
        self.twice = b""
        self.down = False
        self.broken = asyncio.Event()
        # Cleared, nothing is answered.
        self.answering = asyncio.Event()
        self.answering.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        if self.down:
            await self._refuse(send)
            return
        body = await _body(receive)
        self.asked.append(json.loads(body))
        self.headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
        most = self.break_after.pop(0) if self.break_after else None
        pieces = 0

        async def sending(message: Message) -> None:
            nonlocal pieces
            await self.answering.wait()
            if message["type"] == "http.response.body" and message.get("body"):
                pieces += 1
                if most is not None and pieces > most:
                    self.broken.set()
                    raise ConnectionResetError("the line is broken")
                stream = b"data:" in message["body"]
                if stream and self.twice and self.twice in message["body"] and self.broken.is_set():
                    await send({**message, "more_body": True})
            await send(message)

        given = False

        async def receiving() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, receiving, sending)

    async def _refuse(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def methods(self) -> list[str]:
        return [str(call["method"]) for call in self.asked]


async def _body(receive: Receive) -> bytes:
    chunks, more = [], True
    while more:
        message = await receive()
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(chunks)


@dataclass
class PeerServer:
    agent: PeerAgent
    line: Line
    url: str = ""
    card: JsonObject = field(default_factory=dict)


def card_of(url: str, version: str, *, streaming: bool = True) -> JsonObject:
    """A card of one interface, as its version writes it."""
    about: JsonObject = {
        "name": "Poet",
        "description": "Writes odes.",
        "version": "1.0.0",
        "skills": [{"id": "ode", "name": "Ode", "description": "Writes one.", "tags": ["verse"]}],
        "capabilities": {"streaming": streaming},
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
    }
    if version == "0.3":
        old: JsonObject = {"protocolVersion": "0.3.0", "preferredTransport": "JSONRPC"}
        return {**about, **old, "url": url}
    there: JsonObject = {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": version}
    return {**about, "supportedInterfaces": [there]}


@asynccontextmanager
async def peer_server(version: str = "1.0", *, streaming: bool = True) -> AsyncIterator[PeerServer]:
    """The SDK's server of that version on loopback."""
    agent = PeerAgent()
    card = parse_agent_card(card_of("/", version, streaming=streaming))
    handler = DefaultRequestHandler(agent, InMemoryTaskStore(), card)
    routes = create_jsonrpc_routes(handler, "/rpc", enable_v0_3_compat=version == "0.3")
    line = Line(Starlette(routes=list(routes)))
    async with served(line) as base:
        url = f"{base}/rpc"
        try:
            yield PeerServer(agent, line, url, card_of(url, version, streaming=streaming))
        finally:
            agent.go.set()


async def until_bound(database: Database, task_id: str) -> None:
    """Wait until it is known here which task there works for this one."""
    store = RemoteTaskStore(database)
    async with asyncio.timeout(100):
        while await store.find(task_id) is None:
            await asyncio.sleep(0.005)
