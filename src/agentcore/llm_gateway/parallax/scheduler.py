"""The routes of a Parallax scheduler that are not OpenAI's. None of them asks who calls."""

from __future__ import annotations

from collections.abc import AsyncIterator

import orjson

from agentcore.kit.jsonvalue import JsonObject, object_in, objects_of
from agentcore.llm_gateway.errors import UpstreamMalformed, UpstreamUnavailable
from agentcore.llm_gateway.parallax.models import LOST_AFTER, ClusterStatus, status_of
from agentcore.llm_gateway.transport import Exchange, Transport

ASK_SECONDS = 5.0
# Before it answers, the scheduler stops what it serves.
INIT_SECONDS = 60.0
LARGEST_REPORT = 1024 * 1024


class Scheduler:
    def __init__(self, transport: Transport, name: str) -> None:
        self._transport = transport
        self._name = name
        self._follow = transport.head("GET", "/cluster/status")
        self._once = transport.head("GET", "/cluster/status_json")
        self._catalogue = transport.head("GET", "/model/list")
        self._init = transport.head("POST", "/scheduler/init")

    async def reports(self) -> AsyncIterator[ClusterStatus]:
        """Its status, a line per second, until the connection ends.

        Raises:
            UpstreamError: it ended badly, or what came is no status.
        """
        exchange = await self._transport.request(self._follow, b"", seconds=LOST_AFTER)
        try:
            self._expect_status(exchange)
            pending = b""
            while data := await exchange.chunk(LOST_AFTER):
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    if line.strip():
                        yield self._read(line)
                if len(pending) > LARGEST_REPORT:
                    raise UpstreamMalformed(f"{self._name} reports without end")
        finally:
            exchange.close()

    async def status(self, seconds: float = ASK_SECONDS) -> ClusterStatus:
        exchange = await self._transport.request(self._once, b"", seconds=seconds)
        try:
            self._expect_status(exchange)
            return self._read(await exchange.read(seconds))
        finally:
            exchange.close()

    async def catalogue(self) -> tuple[str, ...]:
        """The models that it can be told to serve, whatever it serves now."""
        told = await self._told(self._catalogue, b"", ASK_SECONDS)
        listed = told.get("data")
        names = [each.get("name") for each in objects_of(listed)]
        return tuple(name for name in names if isinstance(name, str))

    async def init(self, model: str, nodes: int) -> None:
        """Stop what is served now, and serve ``model`` as soon as ``nodes`` have loaded it."""
        order: JsonObject = {
            "model_name": model,
            "init_nodes_num": nodes,
            # Without it the scheduler would ask public relays to pass its traffic on.
            "is_local_network": True,
        }
        await self._told(self._init, orjson.dumps(order), INIT_SECONDS)

    async def _told(self, head: bytes, body: bytes, seconds: float) -> JsonObject:
        exchange = await self._transport.request(head, body, seconds=seconds)
        try:
            raw = await exchange.read(seconds)
        finally:
            exchange.close()
        known = object_in(raw)
        if exchange.status != 200 or not known:
            why = known.get("error") or known.get("detail") or "with no reason"
            raise UpstreamUnavailable(
                f"the scheduler of {self._name} answers {exchange.status}: {why}",
                provider=self._name,
            )
        return known

    def _expect_status(self, exchange: Exchange) -> None:
        if exchange.status != 200:
            raise UpstreamMalformed(
                f"{self._name} answers {exchange.status} where a Parallax scheduler "
                "tells its status; base_url must be the scheduler's, e.g. http://host:3001"
            )

    def _read(self, line: bytes) -> ClusterStatus:
        try:
            return status_of(orjson.loads(line))
        except ValueError as exc:
            raise UpstreamMalformed(f"{self._name} reports no cluster status") from exc
