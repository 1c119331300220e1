"""Agents for the A2A tests, and a whole A2A side served over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from agentcore.a2a_protocol.agent_registry import AgentRegistry, build_registry
from agentcore.a2a_protocol.api import router
from agentcore.a2a_protocol.dispatcher import Caller, MethodRegistry
from agentcore.a2a_protocol.errors import InvalidParams
from agentcore.a2a_protocol.hosting import HostedAgents, Hosting
from agentcore.a2a_protocol.metrics import A2AMetrics, RegistryMetrics
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.a2a_protocol.models.task import Part
from agentcore.a2a_protocol.ports import (
    AgentEvent,
    InboundMessage,
    LifecycleListener,
    PlaybookContexts,
    TaskHandle,
    TaskObserver,
    TaskOutcome,
)
from agentcore.a2a_protocol.runtime import NO_PLAYBOOKS, A2ARuntime, Surroundings, open_runtime
from agentcore.a2a_protocol.tasks.signals import Channel
from agentcore.cli.env.loopback import served_on_loopback
from agentcore.kit.clock import Clock, SystemClock
from agentcore.kit.db import Database
from agentcore.kit.errors import AgentCoreError, Conflict, problem
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.kit.sealing import Sealing
from agentcore.kit.security import Principal
from agentcore.kit.supervisor import Supervisor

SEALING = Sealing(["a secret that only tests know of"])


def principal(
    subject: str = "alice", tenant: str = "acme", scopes: tuple[str, ...] = ("a2a",)
) -> Principal:
    return Principal(subject=subject, tenant=tenant, scopes=frozenset(scopes))


def at(document: JsonValue, *path: str | int) -> JsonValue:
    """The member of ``document`` at ``path``, which has to exist."""
    for step in path:
        if isinstance(step, str):
            assert isinstance(document, dict), (step, document)
            document = document[step]
        else:
            assert isinstance(document, list), (step, document)
            document = document[step]
    return document


class SharedChannel:
    """Hands each message to all who listen, as Redis does between processes."""

    def __init__(self) -> None:
        self.handlers: list[Callable[[bytes], None]] = []
        self.sent: list[bytes] = []

    async def publish(self, channel: str, message: bytes) -> None:
        self.sent.append(message)
        for handler in self.handlers:
            handler(message)

    def subscribe(self, channel: str, handler: Callable[[bytes], None]) -> None:
        self.handlers.append(handler)


class ScriptedAgent:
    """Does what the first word of the message says; echoes anything else."""

    def __init__(self) -> None:
        self.seen: list[InboundMessage] = []
        self.cancelled: list[str] = []
        self.go = asyncio.Event()

    async def handle(self, message: InboundMessage, task: TaskHandle) -> None:
        self.seen.append(message)
        word = message.text.partition(" ")[0]
        scripted = getattr(self, f"_{word}", None) if word.isidentifier() else None
        if scripted is None:
            await task.complete(f"echo: {message.text}")
        else:
            await scripted(task)

    async def _wait(self, task: TaskHandle) -> None:
        await task.progress("waiting")
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.append(task.task_id)
            raise
        await task.complete("waited")

    async def _stubborn(self, task: TaskHandle) -> None:
        """Hears that it shall stop, and answers all the same."""
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.append(task.task_id)
        await task.complete("finished after all")

    async def _stream(self, task: TaskHandle) -> None:
        """Chunks for ever, or until it may end."""
        number = 0
        while not self.go.is_set():
            await task.append("log", f"line {number}")
            number += 1
            await asyncio.sleep(0.001)
        await task.append("log", "end", last=True)
        await task.complete(f"{number} lines")

    async def _shown(self, task: TaskHandle) -> None:
        await task.shown({"version": 2})
        await self._stream(task)

    async def _chunks(self, task: TaskHandle) -> None:
        for number in range(400):
            await task.append("log", f"line {number}")
        await task.append("log", last=True)
        await task.append("log", "of another artifact")
        await task.complete()

    async def _reject(self, task: TaskHandle) -> None:
        await task.reject("not for me")

    async def _auth(self, task: TaskHandle) -> None:
        await task.ask_authorization("sign in at the bank")

    async def _ask(self, task: TaskHandle) -> None:
        await task.ask("which one?")

    async def _linger(self, task: TaskHandle) -> None:
        """Asks, and takes its time to leave."""
        await task.ask("which one?")
        try:
            await asyncio.Event().wait()
        finally:
            await self.go.wait()

    async def _artifacts(self, task: TaskHandle) -> None:
        await task.artifact("all", "text", {"count": 42}, Part(raw=b"bytes", filename="f"))
        await task.artifact("link", Part(url="https://example.com/output.txt"))
        await task.complete({"done": True})

    async def _progress(self, task: TaskHandle) -> None:
        for step in range(3):
            await task.progress(f"step {step}")
        await task.complete("three steps")

    async def _report(self, task: TaskHandle) -> None:
        task.report(tokens=7, cost_usd=Decimal("0.25"), output_quality=0.5, metadata={"steps": 3})
        task.report(tokens=3, cost_usd=Decimal("0.50"), playbook={"version": 2})
        await task.complete("reported")

    async def _fail(self, task: TaskHandle) -> None:
        await task.fail("it cannot be done")

    async def _crash(self, task: TaskHandle) -> None:
        raise ZeroDivisionError("secret detail")

    async def _refuse(self, task: TaskHandle) -> None:
        raise Conflict("the door is closed", hint="open it")

    async def _silent(self, task: TaskHandle) -> None:
        return None

    async def _unstorable(self, task: TaskHandle) -> None:
        await task.artifact("a\0b", {"x\0": [float("nan"), "\ud800"]})
        await task.complete("a\0b\ud800c")

    async def _twice(self, task: TaskHandle) -> None:
        await task.complete("once")
        await task.complete("twice")

    async def _giveup(self, task: TaskHandle) -> None:
        raise asyncio.CancelledError


@dataclass
class RecordingObserver:
    outcomes: list[TaskOutcome] = field(default_factory=list)
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    async def task_finished(self, outcome: TaskOutcome) -> None:
        self.outcomes.append(outcome)
        self.heard.set()


@dataclass
class RecordingListener:
    registered: list[AgentEvent] = field(default_factory=list)
    moved: list[AgentEvent] = field(default_factory=list)
    terminated: list[AgentEvent] = field(default_factory=list)
    erased: list[AgentEvent] = field(default_factory=list)
    error: AgentCoreError | None = None

    async def agent_registered(self, event: AgentEvent) -> None:
        self.registered.append(event)
        if self.error is not None:
            raise self.error

    async def agent_moved(self, event: AgentEvent) -> None:
        self.moved.append(event)

    async def agent_terminated(self, event: AgentEvent) -> None:
        self.terminated.append(event)

    async def agent_erased(self, event: AgentEvent) -> None:
        self.erased.append(event)


def known_agents(
    database: Database,
    supervisor: Supervisor,
    clock: Clock,
    *listeners: LifecycleListener,
    hosted: HostedAgents | None = None,
    **config: object,
) -> AgentRegistry:
    """The registry without what it does in the background."""
    return build_registry(
        A2AConfig.model_validate({"agents_anywhere": True, **config}),
        database,
        HostedAgents() if hosted is None else hosted,
        listeners,
        supervisor=supervisor,
        clock=clock,
        ids=Ids(clock),
        metrics=RegistryMetrics(CollectorRegistry()),
    )


async def passed(
    registry: MethodRegistry, wrong: Sequence[tuple[str, JsonObject]], caller: Caller
) -> list[JsonValue]:
    """What calls with wrong parameters were answered that should have been refused."""
    answers: list[JsonValue] = []
    for method, params in wrong:
        with suppress(InvalidParams):
            answers.append(await registry.call(method, params, caller))
    return answers


@asynccontextmanager
async def a2a(
    database: Database,
    *,
    config: A2AConfig | None = None,
    clock: Clock | None = None,
    auth: bool = True,
    observers: tuple[TaskObserver, ...] = (),
    listeners: tuple[LifecycleListener, ...] = (),
    registry: CollectorRegistry | None = None,
    channel: Channel | None = None,
    installation: str = "here",
    playbooks: PlaybookContexts = NO_PLAYBOOKS,
) -> AsyncIterator[A2ARuntime]:
    """The A2A side as bootstrap opens it, with an agent "scripted" and an agent "second"."""
    async with Supervisor() as supervisor:
        surroundings = Surroundings(
            database=database,
            supervisor=supervisor,
            clock=clock or SystemClock(),
            ids=Ids(),
            metrics=A2AMetrics(registry or CollectorRegistry()),
            sealing=SEALING,
            channel=channel,
            installation=installation,
            playbooks=playbooks,
        )
        opened = open_runtime(
            config or A2AConfig.model_validate({}),
            surroundings,
            version="0.1.0",
            auth=auth,
            observers=observers,
            listeners=listeners,
        )
        async with opened as runtime:
            runtime.hosted.add(Hosting(agent_id="scripted", agent=ScriptedAgent()))
            runtime.hosted.add(Hosting(agent_id="second", agent=ScriptedAgent()))
            yield runtime


OWN = Hosting(agent_id="own", agent=ScriptedAgent())


def scripted(runtime: A2ARuntime, agent_id: str = "scripted") -> ScriptedAgent:
    agent = runtime.hosted.choose(agent_id).agent
    assert isinstance(agent, ScriptedAgent)
    return agent


class HeaderAuth:
    """Takes ``x-caller: tenant/subject`` at its word; alice of acme where it is missing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            header = dict(scope["headers"]).get(b"x-caller", b"acme/alice").decode()
            tenant, _, subject = header.partition("/")
            scope.setdefault("state", {})["principal"] = principal(subject, tenant)
        await self._app(scope, receive, send)


def app_of(runtime: A2ARuntime, public_url: str = "") -> FastAPI:
    app = FastAPI()
    app.include_router(router(lambda: runtime, public_url=public_url))

    @app.exception_handler(AgentCoreError)
    async def refused(request: Request, error: AgentCoreError) -> JSONResponse:
        return JSONResponse(problem(error), status_code=error.http_status)

    app.add_middleware(HeaderAuth)
    return app


def served(app: ASGIApp) -> AbstractAsyncContextManager[str]:
    """The application over HTTP on a loopback port; gives its base URL."""
    return served_on_loopback(app, farewell=1.0)
