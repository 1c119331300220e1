"""The A2A side put together: what bootstrap opens and everybody else is handed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import structlog

from agentcore.a2a_protocol.agent_lifecycle_manager import AgentLifecycleManager
from agentcore.a2a_protocol.agent_methods import register_agent_methods
from agentcore.a2a_protocol.agent_registry import AgentRegistry, build_registry
from agentcore.a2a_protocol.cards import Cards, Signer
from agentcore.a2a_protocol.conformance import ConformanceAgent
from agentcore.a2a_protocol.delegation.delegations import Delegations, Hands
from agentcore.a2a_protocol.delegation.interactions import Interactions
from agentcore.a2a_protocol.delegation.methods import register_delegation
from agentcore.a2a_protocol.delegation.store import InteractionStore
from agentcore.a2a_protocol.directory import TenantDirectory
from agentcore.a2a_protocol.dispatcher import Dispatcher, MethodRegistry
from agentcore.a2a_protocol.handovers import Station
from agentcore.a2a_protocol.hosting import Addressees, HostedAgents
from agentcore.a2a_protocol.late import LateWires, load_signer
from agentcore.a2a_protocol.methods import Tasks, register_methods
from agentcore.a2a_protocol.metrics import A2AMetrics
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.a2a_protocol.models.task import Owner
from agentcore.a2a_protocol.ports import LifecycleListener, PlaybookContexts, TaskObserver
from agentcore.a2a_protocol.protocol import ExtendedCards, SpecMethods
from agentcore.a2a_protocol.push.configs import PushConfigs
from agentcore.a2a_protocol.push.sender import PushSender
from agentcore.a2a_protocol.push.store import PushStore
from agentcore.a2a_protocol.remote.adoption import Adoption
from agentcore.a2a_protocol.remote.opening import Elsewhere, open_elsewhere
from agentcore.a2a_protocol.remote.store import RemoteTaskStore
from agentcore.a2a_protocol.task_manager import TaskManager
from agentcore.a2a_protocol.tasks.feeds import Feeds
from agentcore.a2a_protocol.tasks.following import Followers
from agentcore.a2a_protocol.tasks.grouped import GroupedTaskStore
from agentcore.a2a_protocol.tasks.intake import Intake
from agentcore.a2a_protocol.tasks.journal import Desk
from agentcore.a2a_protocol.tasks.reports import Reporter
from agentcore.a2a_protocol.tasks.signals import BothSignals, Channel, ChannelSignals, Signals
from agentcore.a2a_protocol.tasks.store import VersionedTaskStore
from agentcore.a2a_protocol.tasks.turns import Turns
from agentcore.a2a_protocol.tasks.upkeep import Upkeep
from agentcore.a2a_protocol.views import TaskViews
from agentcore.kit.clock import Clock
from agentcore.kit.db import Database
from agentcore.kit.errors import AgentCoreError
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.sealing import Sealing
from agentcore.kit.security import Principal
from agentcore.kit.supervisor import Supervisor

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class A2ARuntime:
    config: A2AConfig
    known: AgentRegistry
    hosted: HostedAgents
    registry: MethodRegistry
    tasks: Tasks
    manager: TaskManager
    followers: Followers
    upkeep: Upkeep
    interactions: Interactions
    dispatcher: Dispatcher
    cards: Cards
    wires: LateWires
    sender: PushSender

    @property
    def agents(self) -> AgentLifecycleManager:
        return self.known.agents

    @property
    def directory(self) -> TenantDirectory:
        return self.known.directory


class NoPlaybooks:
    async def of(self, agent_id: str, task: str, principal: Principal) -> JsonObject | None:
        return None


NO_PLAYBOOKS = NoPlaybooks()


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the A2A side stands on; ``channel`` carries word to other processes, if there are.

    ``sealing`` keeps what webhooks are told with.
    """

    database: Database
    supervisor: Supervisor
    clock: Clock
    ids: Ids
    metrics: A2AMetrics
    sealing: Sealing
    channel: Channel | None = None
    # The name under which the chains of tasks know this installation; replicas share it.
    installation: str = "local"
    playbooks: PlaybookContexts = NO_PLAYBOOKS


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
        signer=await _signer(config),
    )
    if config.conformance_agent:
        cards.hosted.add(ConformanceAgent(on.clock).hosting())
    wires = LateWires()
    known = _known(on, cards, listeners)
    opened = open_elsewhere(
        config,
        wires,
        known.directory,
        database=on.database,
        supervisor=on.supervisor,
        clock=on.clock,
    )
    async with opened as elsewhere:
        runtime = _runtime(on, cards, known, elsewhere, observers)
        on.supervisor.start("a2a-tasks", runtime.upkeep.watch)
        known.start(on.supervisor)
        if config.push:
            on.supervisor.start("a2a-push", runtime.sender.watch)
        on.supervisor.start("a2a-withdrawals", elsewhere.withdrawals.watch)
        try:
            yield runtime
        finally:
            await _close(runtime.upkeep)


def _known(on: Surroundings, cards: Cards, listeners: Sequence[LifecycleListener]) -> AgentRegistry:
    return build_registry(
        cards.config,
        on.database,
        cards.hosted,
        listeners,
        supervisor=on.supervisor,
        clock=on.clock,
        ids=on.ids,
        metrics=on.metrics.registry,
    )


async def _signer(config: A2AConfig) -> Signer | None:
    pem = config.signing_key.get_secret_value()
    return await asyncio.to_thread(load_signer, pem) if pem else None


def _runtime(
    on: Surroundings,
    cards: Cards,
    known: AgentRegistry,
    elsewhere: Elsewhere,
    observers: Sequence[TaskObserver],
) -> A2ARuntime:
    config, registry, hosted = cards.config, cards.registry, cards.hosted
    wires, pushes = elsewhere.wires, PushStore(on.database, on.sealing)
    sender = PushSender(
        pushes,
        VersionedTaskStore(on.database),
        wires,
        clock=on.clock,
        anywhere=config.push_anywhere,
        signer=cards.signer,
    )

    async def cancel(owner: Owner, task_id: str) -> None:
        await side.manager.cancel(owner, task_id)

    interactions = Interactions(InteractionStore(on.database), cancel, on.clock)
    intake = Intake(
        Addressees(hosted, elsewhere.hostings),
        _station(config, on),
        interactions,
        clock=on.clock,
        most_seconds=config.turn_seconds,
    )
    side = _task_side(config, on, intake, (*observers, interactions), sender)
    register_delegation(registry, _delegations(on, known, config, side.manager, wires))
    push = PushConfigs(pushes, on.clock, offered=config.push, anywhere=config.push_anywhere)
    tasks = TaskViews(side.manager)
    register_methods(registry, tasks)
    register_agent_methods(registry, known.agents, known.directory)
    return A2ARuntime(
        config=config,
        known=known,
        hosted=hosted,
        registry=registry,
        tasks=tasks,
        manager=side.manager,
        followers=side.followers,
        upkeep=side.upkeep,
        interactions=interactions,
        dispatcher=Dispatcher(
            registry,
            _spec_methods(side, wires, ExtendedCards(known.agents, cards), config, push),
            config=config,
            metrics=on.metrics,
            clock=on.clock,
        ),
        cards=cards,
        wires=wires,
        sender=sender,
    )


def _station(config: A2AConfig, on: Surroundings) -> Station:
    return Station(on.installation, config.delegation_depth, on.ids)


def _delegations(
    on: Surroundings,
    known: AgentRegistry,
    config: A2AConfig,
    manager: TaskManager,
    wires: LateWires,
) -> Delegations:
    return Delegations(
        Hands(
            directory=known.directory,
            manager=manager,
            station=_station(config, on),
            interactions=InteractionStore(on.database),
            playbooks=on.playbooks,
            wires=wires,
            supervisor=on.supervisor,
            clock=on.clock,
            ids=on.ids,
        )
    )


def _spec_methods(
    side: TaskSide, wires: LateWires, cards: ExtendedCards, config: A2AConfig, pushes: PushConfigs
) -> SpecMethods:
    return SpecMethods(
        side.manager, wires, config, followers=side.followers, cards=cards, pushes=pushes
    )


@dataclass(frozen=True, slots=True)
class TaskSide:
    manager: TaskManager
    followers: Followers
    upkeep: Upkeep


def _desk(config: A2AConfig, on: Surroundings) -> Desk:
    return Desk(
        store=GroupedTaskStore(on.database, on.supervisor),
        clock=on.clock,
        supervisor=on.supervisor,
        worker=str(on.ids.new()),
        lease=timedelta(seconds=config.lease_seconds),
        flush_seconds=config.flush_seconds,
    )


def _task_side(
    config: A2AConfig,
    on: Surroundings,
    intake: Intake,
    observers: Sequence[TaskObserver],
    sender: PushSender,
) -> TaskSide:
    desk = _desk(config, on)
    feeds = Feeds()
    reporter = Reporter(desk, observers, on.metrics)
    followers = Followers(
        desk.store, feeds, supervisor=on.supervisor, follow_seconds=config.follow_seconds
    )

    def heard(task_id: str) -> None:
        followers.heard(task_id)
        upkeep.heard(task_id)

    signals = _signals(on, sender, heard, desk.worker)
    turns = Turns(
        desk,
        feeds=feeds,
        reporter=reporter,
        signals=signals,
        spending=InteractionStore(on.database),
        ids=on.ids,
        cancel_seconds=config.cancel_seconds,
    )
    adoption = Adoption(desk, turns, intake, RemoteTaskStore(on.database), on.ids)
    upkeep = Upkeep(
        desk,
        turns,
        reporter=reporter,
        signals=signals,
        adopt=adoption.adopt,
        config=config,
        ids=on.ids,
    )
    manager = TaskManager(
        desk,
        turns,
        followers=followers,
        reporter=reporter,
        signals=signals,
        intake=intake,
        config=config,
        ids=on.ids,
    )
    return TaskSide(manager, followers, upkeep)


def _signals(
    on: Surroundings, sender: PushSender, heard: Callable[[str], None], worker: str
) -> Signals:
    """Who is told that a task of this process has news: webhooks, and the other processes."""
    if on.channel is None:
        return sender
    channel = ChannelSignals(
        on.channel, heard, sender=worker, supervisor=on.supervisor, clock=on.clock
    )
    return BothSignals(sender, channel)


async def _close(upkeep: Upkeep) -> None:
    try:
        await upkeep.close()
    except AgentCoreError as error:
        # The leases run out: the next process that looks fails these tasks.
        log.warning("running tasks could not be failed", reason=error.detail)
