"""One Parallax cluster: its status kept up to date in memory, its slots, its generation route.

Status is pushed: one connection to ``/cluster/status``, a line per second for as long as it lasts.
No call ever waits for a status; only ``is_healthy``, ``get_capacity`` and ``get_stats`` ask once,
and only while the cluster has never been heard.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson
import structlog

from agentcore.kit.clock import Clock
from agentcore.llm_gateway.admission import Gate
from agentcore.llm_gateway.clearance import Cleared, Destination
from agentcore.llm_gateway.dialects.messages import MessagesTranslation
from agentcore.llm_gateway.dialects.responses import ResponsesTranslation
from agentcore.llm_gateway.endpoint import Reply, StreamReply, json_headers
from agentcore.llm_gateway.errors import (
    ParallaxCapacityError,
    ParallaxClusterUnavailableError,
    ParallaxTimeoutError,
    UpstreamError,
    UpstreamMalformed,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnavailable,
)
from agentcore.llm_gateway.gathering import GatheringEndpoint
from agentcore.llm_gateway.models import ASK, DEFAULT_TIMEOUTS, Dialect, Timeouts
from agentcore.llm_gateway.parallax.models import (
    LOST_AFTER,
    Capacity,
    ClusterStats,
    ClusterStatus,
    Health,
    health_of,
    status_of,
)
from agentcore.llm_gateway.translation import TranslatedWire
from agentcore.llm_gateway.transport import ConnectionPool, Exchange, Transport
from agentcore.llm_gateway.wire import PlainReply
from agentcore.llm_gateway.wires.streamed_chat import StreamedChatWire

PARALLAX = Destination("parallax", self_hosted=True)
RECONNECT_SECONDS = 1.0
ASK_SECONDS = 5.0
LARGEST_REPORT = 1024 * 1024

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
        self._transport = Transport(
            pool,
            cluster_url,
            provider=destination.name,
            connect_seconds=timeouts.connect,
            headers=json_headers(api_key),
        )
        self._status_stream = self._transport.head("GET", "/cluster/status")
        self._status_once = self._transport.head("GET", "/cluster/status_json")
        chat = StreamedChatWire(destination.name, prefix="/v1")
        responses = TranslatedWire(chat, ResponsesTranslation(destination.name))
        messages = TranslatedWire(chat, MessagesTranslation(destination.name))
        self._endpoint = GatheringEndpoint(
            self._transport,
            {"chat": chat, "responses": responses, "messages": messages},
            provider=destination.name,
            timeouts=timeouts,
            clock=clock,
            gate=self.gate,
        )
        self._clock = clock
        self._models = dict(models)
        self._heard = _Heard()

    @property
    def dialects(self) -> frozenset[Dialect]:
        return self._endpoint.dialects

    @property
    def health(self) -> Health:
        heard = self._heard
        return health_of(heard.status, age=self._age(), reachable=heard.reachable)

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
        )

    @property
    def trouble(self) -> str:
        """Why the cluster is not ready; empty when it is."""
        health = self.health
        if health in {"ready", "degraded"}:
            return "" if self.gate.free() else "all slots taken"
        return f"{health}: {self._heard.error}" if self._heard.error else health

    def served_models(self) -> tuple[str, ...] | None:
        if self._models:
            return tuple(self._models)
        status = self._heard.status
        if status is None:
            return None
        return (status.model_name,) if status.model_name else ()

    def upstream_model(self, served: str) -> str | None:
        if self._models:
            return self._models.get(served)
        return served if served in (self.served_models() or ()) else None

    async def is_healthy(self) -> bool:
        await self._first_report()
        return self.health in {"ready", "degraded"}

    async def get_capacity(self) -> Capacity:
        await self._first_report()
        return self.capacity

    async def get_stats(self) -> ClusterStats:
        await self._first_report()
        return ClusterStats(
            health=self.health,
            status=self._heard.status,
            in_flight=self.gate.in_flight,
            age_seconds=self._age(),
            error=self._heard.error,
        )

    async def list_models(self) -> list[str]:
        """The served names; the scheduler lists its one model even when nobody can serve it."""
        await self._first_report()
        return list(self.served_models() or ())

    async def generate(self, cleared: Cleared) -> PlainReply:
        reply = await self.send(cleared)
        if not isinstance(reply, PlainReply):
            reply.close()
            raise UpstreamMalformed(f"{self.destination.name} streamed an answer not asked for")
        return reply

    async def stream_generate(self, cleared: Cleared) -> StreamReply:
        """The reply holds a slot until it is closed."""
        reply = await self.send(cleared)
        if not isinstance(reply, StreamReply):
            raise UpstreamMalformed(f"{self.destination.name} did not stream")
        return reply

    async def send(self, cleared: Cleared) -> Reply:
        """Ask the cluster; the call holds a slot until its reply is complete or closed.

        Raises:
            ParallaxCapacityError: no slot is free, or the scheduler says so.
            ParallaxClusterUnavailableError, ParallaxTimeoutError: as named.
        """
        call = cleared.for_sending(self.destination)
        try:
            return await self._endpoint.send(call, self.upstream_model(call.model) or call.model)
        except UpstreamError as error:
            ours = _parallax_error(error)
            if ours is None:
                raise
            raise ours from error

    async def watch(self) -> None:
        """Follow the status stream for ever; a lost connection is opened again."""
        while True:
            try:
                await self._follow()
            except UpstreamTruncated:
                # Whoever cut the connection: the next one tells how the cluster is.
                log.info("status stream cut", provider=self.destination.name)
            except UpstreamError as error:
                self._lost(error)
            await self._clock.sleep(RECONNECT_SECONDS)

    async def _follow(self) -> None:
        exchange = await self._transport.request(self._status_stream, b"", seconds=LOST_AFTER)
        try:
            self._expect_status(exchange)
            pending = b""
            while data := await exchange.chunk(LOST_AFTER):
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    self._report(line)
                if len(pending) > LARGEST_REPORT:
                    raise UpstreamMalformed(f"{self.destination.name} reports without end")
        finally:
            exchange.close()

    async def _first_report(self) -> None:
        if self._heard.at is not None:
            return
        try:
            exchange = await self._transport.request(self._status_once, b"", seconds=ASK_SECONDS)
            try:
                self._expect_status(exchange)
                self._report(await exchange.read(ASK_SECONDS))
            finally:
                exchange.close()
        except UpstreamTimeout:
            log.info("cluster does not tell its status yet", provider=self.destination.name)
        except UpstreamError as error:
            self._lost(error)

    def _expect_status(self, exchange: Exchange) -> None:
        if exchange.status != 200:
            raise UpstreamMalformed(
                f"{self.destination.name} answers {exchange.status} where a Parallax scheduler "
                "tells its status; base_url must be the scheduler's, e.g. http://host:3001"
            )

    def _report(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            status = status_of(orjson.loads(line))
        except ValueError as exc:
            raise UpstreamMalformed(f"{self.destination.name} reports no cluster status") from exc
        before = self.health
        self._heard = _Heard(status=status, at=self._clock.monotonic())
        self.gate.told(status.max_running_request or None)
        self._tell(before)

    def _lost(self, error: UpstreamError) -> None:
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
