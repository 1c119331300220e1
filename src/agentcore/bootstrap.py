"""The only place that builds and wires: settings in, running services out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from types import MappingProxyType
from typing import TYPE_CHECKING

import structlog
from prometheus_client import CollectorRegistry

from agentcore.a2a_protocol import own_agents
from agentcore.a2a_protocol.hosting import Hosting, tenant_id
from agentcore.a2a_protocol.metrics import A2AMetrics
from agentcore.a2a_protocol.runtime import A2ARuntime, Surroundings, open_runtime
from agentcore.ace.binding import Bindings
from agentcore.ace.context_manager import ContextManager
from agentcore.ace.experiments import Experiments
from agentcore.ace.gateway_model import GatewayLanguageModel
from agentcore.ace.gateway_spending import GatewaySpending
from agentcore.ace.observer import ContextObserver
from agentcore.ace.ports import AgentOwner
from agentcore.ace.services import ContextServices, context_services
from agentcore.agents.inprocess import GatewayMind, HandedPlaybooks, MethodWorld, OwnPlaybooks
from agentcore.agents.learning import TenantTraces
from agentcore.agents.playbook_agent import AGENT_ID, DESCRIPTION, SKILLS, PlaybookAgent
from agentcore.agents.trials import SUBJECT as TRIALS
from agentcore.agents.trials import EnvironmentGrounds
from agentcore.kit.cache import Cache, open_cache
from agentcore.kit.clock import SYSTEM_CLOCK, Clock
from agentcore.kit.db import Database
from agentcore.kit.drain import Drain
from agentcore.kit.errors import InternalError, StartupError
from agentcore.kit.ids import Ids
from agentcore.kit.sealing import Sealing
from agentcore.kit.security import (
    SERVICE,
    Authenticator,
    CredentialAuthenticator,
    OpenDoor,
    Principal,
    TokenAuthority,
)
from agentcore.kit.servers import open_servers
from agentcore.kit.storage import open_schema
from agentcore.kit.supervisor import Supervisor
from agentcore.llm_gateway.gateway import Gateway, open_gateway
from agentcore.llm_gateway.keys import ApiKeys
from agentcore.llm_gateway.metrics import GatewayMetrics
from agentcore.observability.api import Check, Probe
from agentcore.observability.tracing import Tracer, open_tracing
from agentcore.settings import (
    Settings,
    foreign_tokens,
    installation_name,
    secret_at,
    server_variables,
    signing_secret,
    storage_secrets,
    token_authority,
)
from agentcore.training.openenv import rpc
from agentcore.training.openenv.deployment import Runtimes, environments_secret
from agentcore.training.openenv.deployment import Surroundings as DeploymentSurroundings
from agentcore.training.openenv.environments.catalog import BUNDLED, bundled_spec
from agentcore.training.openenv.inventory import Inventory
from agentcore.training.openenv.metrics import OpenEnvMetrics
from agentcore.training.openenv.models import RuntimeName
from agentcore.training.openenv.opening import open_sessions
from agentcore.training.openenv.operations.running import Operations
from agentcore.training.openenv.operations.store import OperationStore
from agentcore.training.openenv.ports import EnvironmentRuntime
from agentcore.training.openenv.registration.errors import TokenReferenceInvalid
from agentcore.training.openenv.registration.fleet import Fleet
from agentcore.training.openenv.registration.health import HealthChecks
from agentcore.training.openenv.registration.monitoring import EnvironmentMonitor
from agentcore.training.openenv.registration.store import DeploymentStore, EnvironmentStore
from agentcore.training.openenv.registration.usage import DeploymentUsage
from agentcore.training.openenv.registry import (
    EnvironmentRegistry,
    HuggingFaceHubClient,
    Installation,
    Sources,
)
from agentcore.training.openenv.server import EnvironmentServer
from agentcore.training.openenv.sessions import EnvironmentSessions
from agentcore.training.services import Training, open_training

if TYPE_CHECKING:
    from agentcore.training.openenv.deep_health import DeepHealth

# What belongs to this service where several share a place.
NAMESPACE = "agentcore"
SESSION_TOKEN_LIFETIME = timedelta(hours=24)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What every part of the service stands on."""

    settings: Settings
    clock: Clock
    ids: Ids
    registry: CollectorRegistry
    supervisor: Supervisor
    database: Database
    cache: Cache
    tracer: Tracer


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    ground: Ground
    authenticator: Authenticator
    gateway: Gateway
    contexts: ContextManager
    experiments: Experiments
    bindings: Bindings
    a2a: A2ARuntime
    environments: EnvironmentSessions
    registry: EnvironmentRegistry
    operations: Operations
    training: Training

    def probes(self, drain: Drain) -> Mapping[str, Probe]:
        """What readiness asks; each answers quickly or raises an error of ours."""

        async def database() -> Check:
            await self.ground.database.ping()
            return Check(ok=True)

        async def cache() -> Check:
            lost = self.ground.cache.degraded
            return Check(ok=True, degraded=lost, detail="working from memory" if lost else "")

        async def tasks() -> Check:
            health = self.ground.supervisor.health()
            dead = [f"{name}: {task.error}" for name, task in health.items() if not task.alive]
            return Check(ok=not dead, detail="; ".join(dead))

        async def accepting() -> Check:
            return Check(ok=not drain.draining, detail="shutting down" if drain.draining else "")

        return {"database": database, "cache": cache, "tasks": tasks, "accepting": accepting}


class Directory:
    """Agents as the context layer asks for them; filled when the A2A side runs."""

    def __init__(self) -> None:
        self._runtime: A2ARuntime | None = None

    def fill(self, runtime: A2ARuntime) -> None:
        self._runtime = runtime

    async def owner(self, agent_id: str) -> AgentOwner | None:
        return await self._agents.agents.owner(agent_id)

    async def ensure(self, agent_id: str, principal: Principal) -> None:
        await self._agents.agents.ensure(agent_id, principal)

    def known_as(self, agent_id: str, tenant: str) -> str:
        return tenant_id(agent_id, tenant) if agent_id in self._agents.hosted else agent_id

    @property
    def _agents(self) -> A2ARuntime:
        if self._runtime is None:
            raise InternalError("the agent directory is asked before it is there")
        return self._runtime


def environment_servers(settings: Settings) -> dict[str, EnvironmentServer]:
    """The servers that the app mounts, by name; ``bootstrap`` runs what they do by themselves."""
    config = settings.training.server
    return {name: EnvironmentServer(name, made, config) for name, made in BUNDLED.items()}


@asynccontextmanager
async def bootstrap(
    settings: Settings,
    registry: CollectorRegistry,
    servers: Mapping[str, EnvironmentServer] = MappingProxyType({}),
) -> AsyncIterator[Services]:
    """Everything running; leaving the context stops it in reverse order."""
    async with AsyncExitStack() as stack:
        ground = await stack.enter_async_context(_ground(settings, registry))
        gateway = await stack.enter_async_context(
            open_gateway(
                settings.llm_gateway,
                database=ground.database,
                cache=ground.cache,
                supervisor=ground.supervisor,
                metrics=GatewayMetrics(registry),
                clock=ground.clock,
                ids=ground.ids,
                tracer=ground.tracer,
            )
        )
        directory = Directory()
        contexts = _contexts(ground, gateway, directory)
        observer = _observer(ground, contexts.manager, gateway)
        a2a = await stack.enter_async_context(_a2a(ground, observer, directory, contexts.manager))
        metrics = _environment_metrics(settings, registry)
        for name, server in servers.items():
            server.watched_by(metrics.watch(name, "server"))
            ground.supervisor.start(f"environment server {name}", server.run)
        operations = _operations(ground)
        known = await _registry(ground, operations)
        environments = await stack.enter_async_context(_environments(ground, known, metrics))
        rpc.register_methods(a2a.registry, environments)
        _host_agents(settings, gateway, a2a, contexts.manager)
        await contexts.worker.start()
        stack.push_async_callback(contexts.worker.stop)
        grounds = _grounds(ground, gateway, a2a, directory, environments.inventory)
        await stack.enter_async_context(contexts.trials.running(grounds, ground.supervisor))
        training = await stack.enter_async_context(
            open_training(
                settings.training.scheduling,
                environments.inventory,
                database=ground.database,
                supervisor=ground.supervisor,
                clock=ground.clock,
                ids=ground.ids,
            )
        )
        yield Services(
            ground=ground,
            authenticator=_authenticator(settings, gateway.limits.keys),
            gateway=gateway,
            contexts=contexts.manager,
            experiments=contexts.experiments,
            bindings=contexts.bindings(grounds),
            a2a=a2a,
            environments=environments,
            registry=known,
            operations=operations,
            training=training,
        )


@asynccontextmanager
async def _ground(settings: Settings, registry: CollectorRegistry) -> AsyncIterator[Ground]:
    clock = SYSTEM_CLOCK
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(
            open_servers(settings.home, settings.database, settings.cache)
        )
        supervisor = await stack.enter_async_context(Supervisor(clock))
        supervisor.start("embedded servers", servers.keep_alive)
        database = await stack.enter_async_context(open_schema(settings.database, servers))
        redis_url = settings.cache.url or servers.redis_url
        cache = await stack.enter_async_context(
            open_cache(settings.cache, redis_url, supervisor, clock, late=not settings.cache.url)
        )
        tracer = await stack.enter_async_context(open_tracing(settings.observability.tracing))
        yield Ground(
            settings=settings,
            tracer=tracer,
            clock=clock,
            ids=Ids(clock),
            registry=registry,
            supervisor=supervisor,
            database=database,
            cache=cache,
        )


def _contexts(ground: Ground, gateway: Gateway, directory: Directory) -> ContextServices:
    return context_services(
        ground.settings.ace,
        GatewayLanguageModel(gateway.router, private=False),
        directory,
        database=ground.database,
        shared=ground.cache,
        supervisor=ground.supervisor,
        registry=ground.registry,
        clock=ground.clock,
    )


def _observer(ground: Ground, contexts: ContextManager, gateway: Gateway) -> ContextObserver:
    spending = GatewaySpending(gateway.ledger, gateway.costs, ground.supervisor)
    return ContextObserver(contexts, spending, clock=ground.clock)


@asynccontextmanager
async def _a2a(
    ground: Ground, observer: ContextObserver, directory: Directory, contexts: ContextManager
) -> AsyncIterator[A2ARuntime]:
    surroundings = Surroundings(
        database=ground.database,
        supervisor=ground.supervisor,
        clock=ground.clock,
        ids=ground.ids,
        metrics=A2AMetrics(ground.registry),
        sealing=Sealing(storage_secrets(ground.settings)),
        channel=ground.cache,
        installation=installation_name(ground.settings),
        playbooks=HandedPlaybooks(contexts, directory.known_as),
    )
    async with open_runtime(
        ground.settings.a2a,
        surroundings,
        version=version("agentcore"),
        auth=ground.settings.security.auth,
        observers=(TenantTraces(observer, directory),),
        listeners=(observer,),
    ) as runtime:
        directory.fill(runtime)
        yield runtime


def _environment_metrics(settings: Settings, registry: CollectorRegistry) -> OpenEnvMetrics:
    remote = [environment.name for environment in settings.training.environments]
    return OpenEnvMetrics(registry, [*BUNDLED, *remote])


@asynccontextmanager
async def _environments(
    ground: Ground, known: EnvironmentRegistry, metrics: OpenEnvMetrics
) -> AsyncIterator[EnvironmentSessions]:
    settings = ground.settings
    inventory = Inventory(
        settings.training,
        bundled=BUNDLED,
        registered=known,
        base_url=lambda: f"{settings.server.own_url}/envs",
        token=_session_token(ground),
        clock=ground.clock,
    )
    async with open_sessions(
        settings.training,
        inventory,
        usage=DeploymentUsage(DeploymentStore(ground.database, NAMESPACE), ground.clock),
        metrics=metrics,
        supervisor=ground.supervisor,
        clock=ground.clock,
        ids=ground.ids,
        tracer=ground.tracer,
    ) as sessions:
        yield sessions


def _operations(ground: Ground) -> Operations:
    store = OperationStore(ground.database, NAMESPACE)
    return Operations(store, clock=ground.clock, ids=ground.ids)


async def _registry(ground: Ground, operations: Operations) -> EnvironmentRegistry:
    """The registry, with its watchers running."""
    training, clock = ground.settings.training, ground.clock
    store = EnvironmentStore(ground.database, ground.ids)
    registry = EnvironmentRegistry(
        NAMESPACE,
        store=store,
        sources=Sources(
            hub=HuggingFaceHubClient(training.registry.hub, clock),
            checks=HealthChecks(training.registry, _deep_health, secrets=_secret, clock=clock),
            here=Installation(
                bundled={name: bundled_spec(factory()) for name, factory in BUNDLED.items()},
                configured={remote.name: remote for remote in training.environments},
                own_token=_deployed_token(ground),
            ),
        ),
        fleet=Fleet(
            DeploymentStore(ground.database, NAMESPACE),
            _runtimes(ground),
            default=training.deployment.runtime,
            clock=clock,
        ),
        operations=operations,
        clock=clock,
    )
    monitor = EnvironmentMonitor(
        training.registry,
        store,
        check=registry.check_record,
        failed=registry.check_failed,
        load=registry.load,
        clock=clock,
    )
    await registry.load()
    ground.supervisor.start("environment operations", operations.run)
    ground.supervisor.start("environment monitor", monitor.run)
    return registry


def _runtimes(ground: Ground) -> Mapping[RuntimeName, EnvironmentRuntime]:
    """What deploys environments; nothing of it is asked before somebody deploys."""
    settings = ground.settings
    around = DeploymentSurroundings(
        home=settings.home,
        secret=signing_secret(settings),
        clock=ground.clock,
        progress=lambda line: log.debug("deploying an environment", progress=line),
        variables=server_variables(settings),
    )
    return Runtimes(settings.training.deployment, around)


async def _deep_health(url: str, *, token: str | None, seconds: float) -> DeepHealth:
    from agentcore.training.openenv.deep_health import deep_health

    return await deep_health(url, token=token, seconds=seconds)


def _secret(reference: str) -> str:
    try:
        return secret_at(reference)
    except StartupError as error:
        raise TokenReferenceInvalid(
            f"the token {reference!r} cannot be read", hint=error.hint
        ) from error


def _session_token(ground: Ground) -> Callable[[], str]:
    """A credential for this process's own calls to the environments that it serves."""
    if not ground.settings.security.auth:
        return lambda: ""
    authority = token_authority(ground.settings)
    return lambda: _service_token(authority)


def _deployed_token(ground: Ground) -> Callable[[RuntimeName], str]:
    """The same for bundled environments that are deployed: in containers they always ask."""
    own = _session_token(ground)
    authority = TokenAuthority(environments_secret(signing_secret(ground.settings)), ground.clock)
    return lambda runtime: own() if runtime == "local" else _service_token(authority)


def _service_token(authority: TokenAuthority) -> str:
    return authority.issue(
        subject=SERVICE,
        tenant=SERVICE,
        scopes=["env:act", "env:control"],
        lifetime=SESSION_TOKEN_LIFETIME,
    )


def _host_agents(
    settings: Settings, gateway: Gateway, a2a: A2ARuntime, contexts: ContextManager
) -> None:
    agent = PlaybookAgent(
        minds=lambda message: GatewayMind(
            gateway.router,
            message.principal,
            settings.agents.model,
            AGENT_ID,
            traceparent=message.traceparent,
        ),
        worlds=lambda caller: MethodWorld(a2a.registry, caller),
        playbooks=lambda caller: OwnPlaybooks(contexts, caller),
    )
    about = partial(Hosting, name="Playbook agent", description=DESCRIPTION, skills=SKILLS)
    a2a.hosted.add(about(agent_id=AGENT_ID, agent=agent))
    own_agents.host(settings.a2a.hosted, a2a.hosted)


def _grounds(
    ground: Ground,
    gateway: Gateway,
    a2a: A2ARuntime,
    directory: Directory,
    inventory: Inventory,
) -> EnvironmentGrounds:
    """Where playbooks are tried: as the bundled agent plays, after whoever waits for an answer."""
    model = ground.settings.agents.model
    return EnvironmentGrounds(
        directory,
        minds=lambda caller: GatewayMind(gateway.router, caller, model, TRIALS, priority="low"),
        worlds=lambda caller: MethodWorld(a2a.registry, caller),
        known=inventory.environment,
        spending=GatewaySpending(gateway.ledger, gateway.costs, ground.supervisor),
    )


def _authenticator(settings: Settings, keys: ApiKeys) -> Authenticator:
    if not settings.security.auth:
        return OpenDoor()
    return CredentialAuthenticator(token_authority(settings), keys, foreign_tokens(settings))
