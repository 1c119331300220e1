"""The server's side of ``/ws``: one environment per socket, one answer per frame."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from agentcore.kit.errors import AgentCoreError
from agentcore.kit.jsonvalue import JsonObject, JsonValue, dumps, loads
from agentcore.training.openenv.errors import CapacityReached, OpenEnvError
from agentcore.training.openenv.hosting import EnvironmentHost, InvalidRequest, fault, faults_of

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

# Members of a frame beside its type; upstream forbids all others.
FRAMES: dict[str, set[str]] = {
    "reset": {"data"},
    "step": {"data"},
    "state": set(),
    "close": set(),
    "render": set(),
}


class Slots(Protocol):
    """Who makes environments and limits their number."""

    @property
    def name(self) -> str: ...

    def admit(self) -> EnvironmentHost: ...

    async def release(self, host: EnvironmentHost) -> None: ...


class SessionEnded(Exception):
    """The conversation is over; ``last`` is sent before the socket closes."""

    def __init__(self, last: bytes | None = None) -> None:
        super().__init__()
        self.last = last


class SessionSocket:
    """ASGI endpoint; the slot is freed when the socket closes, however it does."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        # ASGI servers raise OSError on send when the peer is gone (ASGI 2.4).
        with suppress(OSError):
            try:
                await self._session(scope, receive, send)
            except SessionEnded as end:
                if end.last is not None:
                    await _send(send, end.last)
                await send({"type": "websocket.close", "code": 1000})

    async def _session(self, scope: Scope, receive: Receive, send: Send) -> None:
        if b"session_id=" in scope.get("query_string", b""):
            raise SessionEnded(error_frame("SESSION_ERROR", "Unknown session_id"))
        try:
            host = self._slots.admit()
        except CapacityReached as full:
            extras: JsonObject = {"active_sessions": full.active, "max_sessions": full.maximum}
            raise SessionEnded(error_frame("CAPACITY_REACHED", str(full), **extras)) from full
        except OpenEnvError as exc:
            name = self._slots.name
            frame = error_frame("FACTORY_ERROR", str(exc), factory_name=name)
            raise SessionEnded(frame) from exc
        try:
            while (message := await receive())["type"] != "websocket.disconnect":
                await _send(send, await _answer(host, message.get("text")))
        finally:
            await self._slots.release(host)


def error_frame(code: str, message: str, **extras: JsonValue) -> bytes:
    return frame_of("error", dumps({"message": message, "code": code, **extras}))


def frame_of(kind: str, data: bytes) -> bytes:
    return b'{"type":"%b","data":%b}' % (kind.encode(), data)


async def _send(send: Send, frame: bytes) -> None:
    await send({"type": "websocket.send", "text": frame.decode()})


async def _answer(host: EnvironmentHost, text: str | None) -> bytes:
    if text is None:
        raise SessionEnded(error_frame("SESSION_ERROR", "frames are JSON text"))
    try:
        frame = loads(text)
    except ValueError as exc:
        return error_frame("INVALID_JSON", f"Invalid JSON: {exc}")
    if not isinstance(frame, dict):
        raise SessionEnded(error_frame("SESSION_ERROR", "a frame is a JSON object"))
    kind = frame.get("type", "")
    if not isinstance(kind, str) or kind not in FRAMES:
        return error_frame("UNKNOWN_TYPE", f"Unknown message type: {kind}")
    try:
        return await _carry_out(host, kind, _data(kind, frame))
    except AgentCoreError as error:
        faults = faults_of(error)
        if faults is not None:
            return error_frame("VALIDATION_ERROR", f"Invalid message: {error}", errors=[*faults])
        return error_frame("EXECUTION_ERROR", str(error), reason=error.code)


async def _carry_out(host: EnvironmentHost, kind: str, data: JsonObject) -> bytes:
    if kind == "step":
        return frame_of("observation", await host.step(data))
    if kind == "reset":
        return frame_of("observation", await host.reset(data))
    if kind == "state":
        return frame_of("state", await host.state())
    if kind == "render":
        return frame_of("render", await host.render())
    raise SessionEnded


def _data(kind: str, frame: JsonObject) -> JsonObject:
    extra = frame.keys() - FRAMES[kind] - {"type"}
    if extra:
        message = "Extra inputs are not permitted"
        raise InvalidRequest(*(fault("extra_forbidden", message, name) for name in sorted(extra)))
    if kind == "step" and "data" not in frame:
        raise InvalidRequest(fault("missing", "Field required", "data"))
    data = frame.get("data", {})
    if not isinstance(data, dict):
        raise InvalidRequest(fault("dict_type", "Input should be a valid dictionary", "data"))
    return data
