"""One Parallax cluster: its status kept up to date in memory, its slots, its generation route.

Status is pushed: one connection to ``/cluster/status``, a line per second for as long as it lasts.
No call ever waits for a status; only ``is_healthy``, ``get_capacity`` and ``get_stats`` ask once,
and only while the cluster has never been heard.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from agentcore.kit.clock import Clock
from agentcore.kit.errors import AgentCoreError
from agentcore.kit.jsonvalue import JsonValue
from agentcore.llm_gateway.admission import FixedLimit, Gate
from agentcore.llm_gateway.clearance import Cleared, Destination
from agentcore.llm_gateway.dialects.messages import MessagesTranslation
from agentcore.llm_gateway.dialects.responses import ResponsesTranslation
from agentcore.llm_gateway.endpoint import Reply, json_headers
from agentcore.llm_gateway.errors import (
    ParallaxCapacityError,
    ParallaxClusterUnavailableError,
    ParallaxTimeoutError,
    UnknownModel,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnavailable,
)
from agentcore.llm_gateway.gathering import GatheringEndpoint
from agentcore.llm_gateway.models import (
    ASK,
    DEFAULT_TIMEOUTS,
    ChatCall,
    Dialect,
    LLMRequest,
    LLMResponse,
    Timeouts,
)
from agentcore.llm_gateway.parallax.binding import BoundChatWire, DeployedModel
from agentcore.llm_gateway.parallax.model_switch import TIMES, ModelSwitch, Switched, SwitchTimes
from agentcore.llm_gateway.parallax.models import (
    Capacity,
    ClusterStats,
    ClusterStatus,
    Health,
    Proof,
    health_of,
)
from agentcore.llm_gateway.parallax.scheduler import Scheduler
from agentcore.llm_gateway.replies import completed, streamed
from agentcore.llm_gateway.translation import TranslatedWire
from agentcore.llm_gateway.transport import ConnectionPool, Transport

PARALLAX = Destination("parallax", self_hosted=True)
RECONNECT_SECONDS = 1.0
CANARY_SECONDS = 10.0
CANARY: Sequence[Mapping[str, JsonValue]] = ({"role": "user", "content": "Say yes."},)

log = structlog.get_logger()


@dataclass(slots=True)
class _Heard:
    """What the status connection last brought."""

    status: ClusterStatus | None = None
    at: float | None = None
    reachable: bool = True
    error: str = ""


class ParallaxClusterManager:
    """``cluster_url`` is the scheduler's, without a path.

    ``models`` maps served names to the cluster's; empty: the one model its status names.
    """

    def __init__(
        self,
        cluster_url: str,
        *,
        pool: ConnectionPool,
        clock: Clock,
        gate: Gate,
        destination: Destination = PARALLAX,
        api_key: str | None = None,
        models: Mapping[str, str] = ASK,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> None:
        self.destination = destination
        self.gate = gate
        name = destination.name
        transport = Transport(
            pool,
            cluster_url,
            provider=name,
            connect_seconds=timeouts.connect,
            headers=json_headers(api_key),
        )
        self._bindings: dict[str, DeployedModel] = {}
        self._scheduler = Scheduler(transport, name)
        chat = BoundChatWire(name, self._bindings, prefix="/v1")
        responses = TranslatedWire(chat, ResponsesTranslation(name))
        messages = TranslatedWire(chat, MessagesTranslation(name))
        self._endpoint = GatheringEndpoint(
            transport,
            {"chat": chat, "responses": responses, "messages": messages},
            provider=name,
            timeouts=timeouts,
            clock=clock,
            gate=gate,
        )
        # Canaries pass a closed gate, and are counted by nobody.
        self._probe = GatheringEndpoint(
            transport,
            {"chat": chat},
            provider=name,
            timeouts=timeouts,
            clock=clock,
            gate=Gate(FixedLimit(None, clock), clock),
        )
        self._switch = ModelSwitch(
            self._scheduler,
            cluster=name,
            gate=gate,
            canary=self._canary,
            clock=clock,
        )
        self._clock = clock
        self._models = dict(models)
        self._heard = _Heard()
        self._proof: Proof = "given"
        self._doubted = asyncio.Event()

    @property
    def dialects(self) -> frozenset[Dialect]:
        return self._endpoint.dialects

    @property
    def health(self) -> Health:
        if self._switch.underway:
            return "not_ready"
        heard = self._heard
        return health_of(
            heard.status,
            age=self._age(),
            reachable=heard.reachable,
            in_flight=self.gate.in_flight,
            proof=self._proof,
        )

    @property
    def capacity(self) -> Capacity:
        """What is known now, without asking."""
        gate = self.gate
        return Capacity(
            health=self.health,
            limit=gate.limit,
            in_flight=gate.in_flight,
            queued=sum(gate.queued.values()),
            source=gate.capacity.source,
            age_seconds=self._age(),
            models=self.served_models(),
            starts=gate.capacity.starts,
        )

    @property
    def stats(self) -> ClusterStats:
        """What is known now, without asking."""
        return ClusterStats(
            health=self.health,
            status=self._heard.status,
            in_flight=self.gate.in_flight,
            age_seconds=self._age(),
            error=self._heard.error,
            cluster=self.destination.name,
            limit=self.gate.limit,
            starts=self.gate.capacity.starts,
        )

    @property
    def trouble(self) -> str:
        """Why the cluster is not ready; empty when it is."""
        if self._switch.underway:
            return "is given another model"
        health = self.health
        if health in {"ready", "degraded"}:
            return "" if self.gate.free() else "all slots taken"
        return f"{health}: {self._heard.error}" if self._heard.error else health

    def served_models(self) -> tuple[str, ...] | None:
        """The names under which its one model can be had; a name for another model is none."""
        status = self._heard.status
        bound = tuple(name for name in self._bindings if self.upstream_model(name))
        if self._models:
            return *(name for name in self._models if self.upstream_model(name)), *bound
        if status is None:
            return bound or None
        return (status.model_name, *bound) if status.model_name else bound

    def upstream_model(self, served: str) -> str | None:
        """The cluster's own name for ``served``, if that is the model it has loaded.

        A scheduler answers with the model it has, whatever name it is asked for.
        """
        status = self._heard.status
        loaded = "" if status is None else status.model_name
        bound = self._bindings.get(served)
        if bound is not None:
            wanted: str | None = bound.model
        elif self._models:
            wanted = self._models.get(served)
        else:
            return served if served and served == loaded else None
        return wanted if not loaded or wanted == loaded else None

    async def is_healthy(self) -> bool:
        await self._first_report()
        return self.health in {"ready", "degraded"}

    async def get_capacity(self) -> Capacity:
        await self._first_report()
        return self.capacity

    async def get_stats(self) -> ClusterStats:
        await self._first_report()
        return self.stats

    async def list_models(self) -> list[str]:
        """The served names; the scheduler lists its one model even when nobody can serve it."""
        await self._first_report()
        return list(self.served_models() or ())

    async def generate(
        self,
        model: str,
        messages: Sequence[Mapping[str, JsonValue]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        timeout: float | None = None,
    ) -> LLMResponse:
        """One completion, straight from this cluster: no routing, no ledger.

        Raises:
            DeadlineExceeded: ``timeout`` seconds were not enough.
            As ``send``.
        """
        request = LLMRequest(
            model=model, messages=messages, temperature=temperature, max_tokens=max_tokens
        )
        return await completed(self, request, self._clock, timeout=timeout)

    def stream_generate(
        self,
        model: str,
        messages: Sequence[Mapping[str, JsonValue]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
    ) -> AsyncIterator[str]:
        """The text of one completion as it arrives, straight from this cluster; as ``generate``."""
        request = LLMRequest(
            model=model, messages=messages, temperature=temperature, max_tokens=max_tokens
        )
        return streamed(self, request)

    async def send(self, cleared: Cleared) -> Reply:
        """Ask the cluster; the call holds a slot until its reply is complete or closed.

        Raises:
            ParallaxCapacityError: no slot is free, or the scheduler says so.
            ParallaxClusterUnavailableError, ParallaxTimeoutError: as named.
        """
        call = cleared.for_sending(self.destination)
        bound = self._bindings.get(call.model)
        if bound is not None and bound.priority is not None:
            call = call._replace(priority=bound.priority)
        try:
            return await self._asked(call)
        except UpstreamError as error:
            ours = _parallax_error(error)
            if ours is None:
                raise
            raise ours from error

    async def preload_model(self, model_name: str, times: SwitchTimes = TIMES) -> Switched:
        """Have the cluster serve ``model_name`` instead of what it serves: an outage of minutes.

        Nothing can be loaded beside the served model. As ``ModelSwitch.run``.
        """
        switched = await self._switch.run(model_name, times)
        self._heard.at = None
        await self._first_report()
        self._proof = "given"
        return switched

    async def deploy_model(
        self, model_name: str, prompt: str, config: Mapping[str, object]
    ) -> DeployedModel:
        """Serve the cluster's model under ``model_name`` with ``prompt`` before each call's
        messages; ``config`` has the defaults max_tokens, temperature and priority.

        Nothing is loaded, and nothing is told to the cluster: the name is known to this process,
        until it ends. Deploying again replaces prompt and defaults.

        Raises:
            InvalidInput: ``config`` or the name cannot be used.
            UnknownModel: the cluster has no model that it could stand for.
        """
        await self._first_report()
        status = self._heard.status
        if status is None or not status.model_name:
            raise UnknownModel(
                f"{self.destination.name} serves no model that {model_name!r} could stand for",
                hint=self.trouble,
            )
        deployed = DeployedModel.of(model_name, status.model_name, prompt, config)
        self._bindings[model_name] = deployed
        return deployed

    async def watch(self) -> None:
        """Follow the status stream for ever, and prove what it says where that is in doubt."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._keep_proven())

    async def _asked(self, call: ChatCall) -> Reply:
        try:
            reply = await self._endpoint.send(call, self.upstream_model(call.model) or call.model)
        except UpstreamUnavailable:
            self._doubt()
            raise
        self._proof = "given"
        return reply

    async def _canary(self, model: str) -> None:
        """One short completion, on the way that calls take but for the gate.

        Raises:
            UpstreamError: it did not succeed.
        """
        call = LLMRequest(model=model, messages=CANARY, max_tokens=1).call()
        await self._probe.send(call, model)

    def _doubt(self) -> None:
        if self._proof == "given":
            before = self.health
            self._proof = "wanted"
            self._tell(before)
        self._doubted.set()

    async def _keep_proven(self) -> None:
        while True:
            await self._doubted.wait()
            self._doubted.clear()
            while model := self._to_prove():
                await self._prove(model)
                if self._to_prove():
                    await self._clock.sleep(CANARY_SECONDS)

    def _to_prove(self) -> str:
        """The model that a canary is to show at work; empty when none is. A cluster that says
        itself that it does not serve is doubted again by its report that it does.
        """
        status = self._heard.status
        if self._proof == "given" or self._switch.underway or status is None or not status.serving:
            return ""
        return status.model_name

    async def _prove(self, model: str) -> None:
        before = self.health
        try:
            await self._canary(model)
            self._proof = "given"
        except UpstreamRateLimited:
            # It is busy: so it works.
            self._proof = "given"
        except AgentCoreError as error:
            self._proof, self._heard.error = "failed", error.detail
        self._tell(before)

    async def _follow(self) -> None:
        while True:
            try:
                async for status in self._scheduler.reports():
                    self._report(status)
            except UpstreamTruncated:
                # Whoever cut the connection: the next one tells how the cluster is.
                log.info("status stream cut", provider=self.destination.name)
            except UpstreamError as error:
                self._lost(error)
            await self._clock.sleep(RECONNECT_SECONDS)

    async def _first_report(self) -> None:
        if self._heard.at is not None:
            return
        try:
            self._report(await self._scheduler.status())
        except UpstreamTimeout:
            log.info("cluster does not tell its status yet", provider=self.destination.name)
        except UpstreamError as error:
            self._lost(error)

    def _report(self, status: ClusterStatus) -> None:
        before = self.health
        self._heard = _Heard(status=status, at=self._clock.monotonic())
        self.gate.told(status.max_running_request or None)
        if status.serving and before in {"down", "not_ready"}:
            self._doubt()
        self._tell(before)

    def _lost(self, error: UpstreamError) -> None:
        if isinstance(error, UpstreamTimeout) and self.gate.in_flight:
            # Its event loop is stuck in the routing of calls: ours are under way.
            return
        before = self.health
        self._heard.reachable = False
        self._heard.error = error.detail
        self._tell(before)

    def _tell(self, before: Health) -> None:
        if self.health != before:
            log.info(
                "cluster health changed",
                provider=self.destination.name,
                before=before,
                now=self.health,
                error=self._heard.error,
            )

    def _age(self) -> float | None:
        at = self._heard.at
        return None if at is None else self._clock.monotonic() - at


_KINDS: tuple[tuple[type[UpstreamError], Callable[..., UpstreamError]], ...] = (
    (UpstreamRateLimited, ParallaxCapacityError),
    (UpstreamTimeout, ParallaxTimeoutError),
    (UpstreamUnavailable, ParallaxClusterUnavailableError),
)


def _parallax_error(error: UpstreamError) -> UpstreamError | None:
    """The cluster's own name for a failure, with all that is known about it."""
    for general, ours in _KINDS:
        if isinstance(error, general):
            return ours(error.detail, hint=error.hint, **error.context)
    return None
