"""The simulated cluster as an HTTP application: the scheduler's routes, or a head node's."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import web
from prometheus_client import CollectorRegistry
from pydantic import BaseModel, ConfigDict, ValidationError

from agentcore.kit.clock import Clock
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject, JsonValue, dumps
from agentcore.simulators.admission import Admission
from agentcore.simulators.chat import ChatEndpoint
from agentcore.simulators.faults import FaultBoard
from agentcore.simulators.head_metrics import HeadMetrics
from agentcore.simulators.journal import RequestJournal
from agentcore.simulators.model import ScriptedModel
from agentcore.simulators.models import SIMULATED_HEADER, ClusterConfig, Fault, FaultKind

MAX_BODY_BYTES = 16 << 20
STATUS_PERIOD_SECONDS = 1.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FaultOrder(BaseModel):
    """Body of ``POST /simulator/faults``: the faults in force from now on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    faults: tuple[Fault, ...]


class SimulatedCluster:
    def __init__(self, config: ClusterConfig, clock: Clock) -> None:
        self.config = config
        self.faults = FaultBoard(config.faults, seed=config.seed)
        self.journal = RequestJournal(record_prompts=config.record_prompts)
        self.admission = Admission(config, clock)
        self._clock = clock
        self._metrics = HeadMetrics(CollectorRegistry(), config.model)
        self._chat = ChatEndpoint(
            config,
            clock=clock,
            ids=Ids(clock),
            model=ScriptedModel(config.model, seed=config.seed, slip_rate=config.slip_rate),
            faults=self.faults,
            admission=self.admission,
            journal=self.journal,
            metrics=self._metrics,
        )

    def application(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.on_response_prepare.append(_say_simulated)
        app.router.add_post("/v1/chat/completions", self._chat.complete)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/simulator/health", self._healthy)
        app.router.add_get("/simulator/requests", _loopback_only(self._requests))
        app.router.add_get("/simulator/faults", _loopback_only(self._show_faults))
        app.router.add_post("/simulator/faults", _loopback_only(self._set_faults))
        if self.config.role == "head":
            app.router.add_get("/health", self._alive)
            app.router.add_get("/load", self._load)
            app.router.add_get("/metrics", self._exposition)
            app.router.add_get("/version", self._version)
        else:
            app.router.add_get("/cluster/status_json", self._status)
            app.router.add_get("/cluster/status", self._status_stream)
            app.router.add_get("/model/list", self._catalogue)
            app.router.add_route("*", "/{path:.*}", _unknown)
        return app

    def status(self) -> JsonObject:
        """What a scheduler says of itself, its measured lies included."""
        config = self.config
        waiting = config.nodes == 0 or self._certain("server_not_ready")
        nodes: list[JsonValue] = [
            {
                "node_id": f"simulated-node-{number}",
                "status": "waiting" if waiting else "available",
                "gpu_num": 1,
                "gpu_name": "simulated",
                "gpu_memory": 0,
            }
            for number in range(config.nodes)
        ]
        routable = not waiting and not self._certain("routing_not_ready")
        data: JsonObject = {
            "status": "waiting" if waiting else "available",
            "model_name": config.model,
            "init_nodes_num": config.nodes,
            "node_join_command": None,
            "node_list": nodes,
            "need_more_nodes": config.nodes == 0,
            "max_running_request": config.capacity if routable else 0,
            "simulated": True,
        }
        return {"type": "cluster_status", "data": data}

    def _certain(self, kind: FaultKind) -> bool:
        return any(f.kind == kind and f.rate >= 1 and f.times is None for f in self.faults.faults)

    async def _slowed(self) -> None:
        if slow := self.faults.standing("slow_status"):
            await self._clock.sleep(slow.seconds)

    async def _status(self, request: web.Request) -> web.Response:
        await self._slowed()
        return _json(self.status())

    async def _status_stream(self, request: web.Request) -> web.StreamResponse:
        await self._slowed()
        response = web.StreamResponse(
            headers={"content-type": "application/x-ndjson", "cache-control": "no-cache"}
        )
        await response.prepare(request)
        # The reader decides when it ends.
        with suppress(ConnectionResetError):
            while True:
                await response.write(dumps(self.status()) + b"\n")
                await self._clock.sleep(STATUS_PERIOD_SECONDS)
        return response

    async def _models(self, request: web.Request) -> web.Response:
        owner = "vllm-frontend-rs" if self.config.role == "head" else "parallax"
        model: JsonObject = {
            "id": self.config.model,
            "object": "model",
            "created": 0,
            "owned_by": owner,
        }
        return _json({"object": "list", "data": [model]})

    async def _catalogue(self, request: web.Request) -> web.Response:
        entry: JsonObject = {"name": self.config.model, "vram_gb": 0}
        return _json({"type": "model_list", "data": [entry]})

    async def _healthy(self, request: web.Request) -> web.Response:
        return _json({"status": "healthy", "simulated": True})

    async def _alive(self, request: web.Request) -> web.Response:
        return web.Response()

    async def _load(self, request: web.Request) -> web.Response:
        return _json({"server_load": self.admission.running + self.admission.waiting})

    async def _exposition(self, request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.exposition(), content_type="text/plain")

    async def _version(self, request: web.Request) -> web.Response:
        return _json({"version": "simulated"})

    async def _requests(self, request: web.Request) -> web.Response:
        running: JsonObject = {
            "running": self.admission.running,
            "waiting": self.admission.waiting,
        }
        return _json({**running, **self.journal.summary()})

    async def _show_faults(self, request: web.Request) -> web.Response:
        return _json({"faults": [fault.model_dump(mode="json") for fault in self.faults.faults]})

    async def _set_faults(self, request: web.Request) -> web.Response:
        # A page in the operator's browser may post here, but not as JSON without a preflight.
        if request.content_type != "application/json":
            return _detail("send application/json", status=415)
        try:
            order = FaultOrder.model_validate_json(await request.read())
        except ValidationError as error:
            return _detail(str(error), status=422)
        self.faults.replace(order.faults)
        return await self._show_faults(request)


async def _say_simulated(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers[SIMULATED_HEADER] = "1"


def _loopback_only(handler: Handler) -> Handler:
    async def guarded(request: web.Request) -> web.StreamResponse:
        if not _is_loopback(request.remote):
            return _detail("only from this machine", status=403)
        return await handler(request)

    return guarded


def _is_loopback(remote: str | None) -> bool:
    if not remote:
        return False
    address = ipaddress.ip_address(remote)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


async def _unknown(request: web.Request) -> web.Response:
    """The static mount behind all of the scheduler's routes: 404 to a GET, 405 to the rest."""
    if request.method in {"GET", "HEAD"}:
        return _detail("Not Found", status=404)
    return _detail("Method Not Allowed", status=405)


def _json(body: JsonObject) -> web.Response:
    return web.Response(body=dumps(body), content_type="application/json")


def _detail(message: str, *, status: int) -> web.Response:
    body: JsonObject = {"detail": message}
    return web.Response(body=dumps(body), status=status, content_type="application/json")
