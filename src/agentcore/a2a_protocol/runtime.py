"""The A2A side put together: what bootstrap opens and everybody else is handed."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import format_datetime

import structlog

from agentcore.a2a_protocol.agent_lifecycle_manager import AgentLifecycleManager
from agentcore.a2a_protocol.card import CardFacts, platform_card
from agentcore.a2a_protocol.dispatcher import Dispatcher, MethodRegistry
from agentcore.a2a_protocol.hosting import HostedAgents
from agentcore.a2a_protocol.late import LateSdk
from agentcore.a2a_protocol.methods import Tasks, register_methods
from agentcore.a2a_protocol.metrics import A2AMetrics
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.a2a_protocol.ports import LifecycleListener, TaskObserver
from agentcore.a2a_protocol.sdk.needs import SdkNeeds
from agentcore.a2a_protocol.store import AgentStore, TaskRows
from agentcore.a2a_protocol.task_manager import TaskManager
from agentcore.kit import jsonvalue
from agentcore.kit.clock import Clock
from agentcore.kit.db import Database
from agentcore.kit.errors import AgentCoreError
from agentcore.kit.ids import Ids
from agentcore.kit.supervisor import Supervisor

MOST_CARDS = 64

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RenderedCard:
    """``modified`` is an HTTP date."""

    body: bytes
    etag: str
    modified: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cards:
    """The platform's card by the address it is asked at; follows agents and methods added later."""

    config: A2AConfig
    hosted: HostedAgents
    registry: MethodRegistry
    version: str
    auth: bool
    clock: Clock
    made: dict[tuple[object, ...], RenderedCard] = field(default_factory=dict)

    def at(self, url: str) -> RenderedCard:
        from agentcore.a2a_protocol.sdk.cards import for_both_versions

        hosted, methods = tuple(self.hosted), tuple(self.registry.names())
        key = (url, methods, *(hosting.agent_id for hosting in hosted))
        if key not in self.made:
            if len(self.made) >= MOST_CARDS:
                self.made.clear()
            facts = CardFacts(version=self.version, auth=self.auth, hosted=hosted, methods=methods)
            body = jsonvalue.dumps(for_both_versions(platform_card(self.config, facts, url)))
            digest = hashlib.sha256(body).hexdigest()[:32]
            modified = format_datetime(self.clock.now(), usegmt=True)
            self.made[key] = RenderedCard(body, f'"{digest}"', modified)
        return self.made[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class A2ARuntime:
    config: A2AConfig
    agents: AgentLifecycleManager
    hosted: HostedAgents
    registry: MethodRegistry
    tasks: Tasks
    manager: TaskManager
    dispatcher: Dispatcher
    cards: Cards
    sdk: LateSdk


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the A2A side stands on."""

    database: Database
    supervisor: Supervisor
    clock: Clock
    ids: Ids
    metrics: A2AMetrics


@asynccontextmanager
async def open_runtime(
    config: A2AConfig,
    on: Surroundings,
    *,
    version: str,
    auth: bool = True,
    observers: Sequence[TaskObserver] = (),
    listeners: Sequence[LifecycleListener] = (),
) -> AsyncIterator[A2ARuntime]:
    """Serve agents and tasks; leaving it fails the tasks that are still running here."""
    cards = Cards(
        config=config,
        hosted=HostedAgents(),
        registry=MethodRegistry(),
        version=version,
        auth=auth,
        clock=on.clock,
    )
    runtime = _runtime(on, cards, observers, listeners)
    on.supervisor.start("a2a-tasks", runtime.manager.watch)
    on.supervisor.start("a2a-sdk", runtime.sdk.warm)
    try:
        yield runtime
    finally:
        await _close(runtime.sdk, runtime.manager)


def _runtime(
    on: Surroundings,
    cards: Cards,
    observers: Sequence[TaskObserver],
    listeners: Sequence[LifecycleListener],
) -> A2ARuntime:
    rows, config, registry = TaskRows(on.database), cards.config, cards.registry
    manager = TaskManager(
        rows,
        observers=observers,
        supervisor=on.supervisor,
        clock=on.clock,
        ids=on.ids,
        metrics=on.metrics,
        lease_seconds=config.lease_seconds,
    )
    agents = AgentLifecycleManager(
        AgentStore(on.database),
        hosted=cards.hosted,
        listeners=listeners,
        supervisor=on.supervisor,
        clock=on.clock,
        ids=on.ids,
    )
    needs = SdkNeeds(
        config=config,
        rows=rows,
        manager=manager,
        hosted=cards.hosted,
        supervisor=on.supervisor,
        clock=on.clock,
        ids=on.ids,
        version=cards.version,
        auth=cards.auth,
    )
    sdk = LateSdk(needs, on.clock)
    register_methods(registry, agents, sdk)
    return A2ARuntime(
        config=config,
        agents=agents,
        hosted=cards.hosted,
        registry=registry,
        tasks=sdk,
        manager=manager,
        dispatcher=Dispatcher(registry, sdk, config=config, metrics=on.metrics, clock=on.clock),
        cards=cards,
        sdk=sdk,
    )


async def _close(sdk: LateSdk, manager: TaskManager) -> None:
    await sdk.aclose()
    try:
        await manager.close()
    except AgentCoreError as error:
        # The leases run out: the next process that looks fails these tasks.
        log.warning("running tasks could not be failed", reason=error.detail)
