"""The server's sides of ``/ws`` and ``/mcp``: one session per socket, one answer per frame."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from agentcore.kit.errors import LONGEST_WORDS, AgentCoreError
from agentcore.kit.jsonvalue import JsonObject, JsonValue, dumps, loads
from agentcore.kit.security import Principal
from agentcore.training.openenv.errors import CapacityReached, FactoryFailed
from agentcore.training.openenv.serving.callers import caller_of, requested_session
from agentcore.training.openenv.serving.dialect import McpDialect, refusal_of
from agentcore.training.openenv.serving.hosting import (
    InvalidRequest,
    fault,
    faults_of,
)
from agentcore.training.openenv.serving.slots import ACT, CONTROL, HostedSession, Slots

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

NORMAL, GOING_AWAY = 1000, 1001
# Members of a frame beside its type; upstream forbids all others.
BARE, WITH_DATA = frozenset({"type"}), frozenset({"type", "data"})
FRAMES = {
    "step": WITH_DATA,
    "reset": WITH_DATA,
    "mcp": WITH_DATA,
    "state": BARE,
    "close": BARE,
    "render": BARE,
}
SCOPES = {"step": ACT, "reset": CONTROL}
NEED_DATA = frozenset({"step", "mcp"})


class SessionEnded(Exception):
    """The conversation is over; ``last`` is sent before the socket closes."""

    def __init__(self, last: bytes | None = None, code: int = NORMAL) -> None:
        super().__init__()
        self.last = last
        self.code = code


class Tongue(Protocol):
    """What is spoken on a socket."""

    async def answer(self, text: str | None) -> bytes:
        """The answer to one frame; raises ``SessionEnded``."""

    def farewell(self, reason: str) -> bytes:
        """The frame that tells why the server ends the session."""


class SessionSocket:
    """ASGI endpoint; a session that came with its socket also goes with it."""

    def __init__(
        self,
        slots: Slots,
        speak: Callable[[HostedSession, Principal], Tongue],
        refusal: Callable[[AgentCoreError], bytes],
    ) -> None:
        self._slots = slots
        self._speak = speak
        self._refusal = refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        # ASGI servers raise OSError on send when the peer is gone (ASGI 2.4).
        with suppress(OSError), self._slots.conversation():
            try:
                await self._session(scope, receive, send)
            except SessionEnded as end:
                if end.last is not None:
                    await send({"type": "websocket.send", "text": end.last.decode()})
                await send({"type": "websocket.close", "code": end.code})

    async def _session(self, scope: Scope, receive: Receive, send: Send) -> None:
        slots, caller = self._slots, caller_of(scope)
        asked_for = requested_session(scope)
        try:
            session = slots.find(asked_for, caller) if asked_for else await slots.open(caller)
            conversation = Conversation(session, self._speak(session, caller), receive, send)
            slots.attach(session, conversation)
        except AgentCoreError as error:
            raise SessionEnded(self._refusal(error)) from error
        session.closing = session.closing or not asked_for
        try:
            await conversation.hold(slots.clock.monotonic)
        finally:
            if conversation.left and session.closing:
                session.host.broken_off()
            # Shielded: whoever cancels the socket's task must not keep the slot.
            await asyncio.shield(slots.detach(session))


class Conversation:
    """One socket on one session, from the first frame to the last."""

    def __init__(
        self, session: HostedSession, tongue: Tongue, receive: Receive, send: Send
    ) -> None:
        self._session = session
        self._tongue = tongue
        self._receive = receive
        self._send = send
        self._answering = False
        self._reason: str | None = None
        self._early: Message | None = None
        # Whether the peer went without a word.
        self.left = False

    async def hold(self, now: Callable[[], float]) -> None:
        """Answer until the peer leaves, or raise ``SessionEnded``."""
        session, receive, send = self._session, self._receive, self._send
        answer = self._answer_from_thread if session.host.threaded else self._tongue.answer
        while True:
            message, self._early = self._early or await receive(), None
            if message["type"] == "websocket.disconnect":
                self.left = True
                return
            session.used = now()
            self._answering = True
            try:
                frame = await answer(message.get("text"))
            finally:
                self._answering = False
            session.used = now()
            await send({"type": "websocket.send", "text": frame.decode()})
            if self._reason is not None:
                raise SessionEnded(self._tongue.farewell(self._reason), GOING_AWAY)

    async def dismiss(self, reason: str) -> None:
        """Tell the peer why, behind the answer that it waits for, and close."""
        if self._answering or self._reason is not None:
            self._reason = reason
            return
        self._reason = reason
        with suppress(OSError):
            text = self._tongue.farewell(reason).decode()
            await self._send({"type": "websocket.send", "text": text})
            await self._send({"type": "websocket.close", "code": GOING_AWAY})

    async def _answer_from_thread(self, text: str | None) -> bytes:
        """The answer, or ``SessionEnded`` at once when the peer leaves before it is there."""
        async with asyncio.TaskGroup() as group:
            arriving = group.create_task(self._arrived())
            computing = group.create_task(self._outcome(text))
            await asyncio.wait({arriving, computing}, return_when=asyncio.FIRST_COMPLETED)
            if arriving.done():
                self._early = arriving.result()
                if self._early["type"] == "websocket.disconnect":
                    self.left = True
                    computing.cancel()
            arriving.cancel()
        if computing.cancelled():
            raise SessionEnded
        outcome = computing.result()
        if isinstance(outcome, SessionEnded):
            raise outcome
        return outcome

    async def _arrived(self) -> Message:
        return await self._receive()

    async def _outcome(self, text: str | None) -> bytes | SessionEnded:
        try:
            return await self._tongue.answer(text)
        except SessionEnded as end:
            return end


class Frames:
    """OpenEnv's frames, as ``/ws`` speaks them."""

    def __init__(self, session: HostedSession, caller: Principal, dialect: McpDialect) -> None:
        host = session.host
        self._session = session
        self._caller = caller
        self._dialect = dialect
        self._host = host
        self._lacking = {kind for kind, scope in SCOPES.items() if not caller.may(scope)}
        self._works: dict[str, tuple[bytes, Callable[[JsonObject], bytes]]] = {
            "step": (b"observation", host.step),
            "reset": (b"observation", host.reset),
            "state": (b"state", host.state),
            "render": (b"render", host.render),
        }

    async def answer(self, text: str | None) -> bytes:
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
            return error_frame("UNKNOWN_TYPE", f"Unknown message type: {kind}"[:LONGEST_WORDS])
        try:
            return await self._carry_out(kind, data_of(kind, frame))
        except AgentCoreError as error:
            faults = faults_of(error)
            if faults is not None:
                message = f"Invalid message: {error}"
                return error_frame("VALIDATION_ERROR", message, errors=[*faults])
            return error_frame("EXECUTION_ERROR", str(error), reason=error.code)

    def farewell(self, reason: str) -> bytes:
        return error_frame("SESSION_ERROR", reason)

    async def _carry_out(self, kind: str, data: JsonObject) -> bytes:
        found = self._works.get(kind)
        if found is None:
            if kind == "close":
                raise SessionEnded
            answer = await self._dialect.answer(data, self._caller, self._session)
            return frame_of(b"mcp", dumps(answer))
        if kind in self._lacking:
            self._caller.require(SCOPES[kind])
        name, work = found
        host = self._host
        return frame_of(name, await host.run(work, data) if host.threaded else work(data))


class Rpc:
    """OpenEnv's MCP dialect, as the socket ``/mcp`` speaks it."""

    def __init__(self, session: HostedSession, caller: Principal, dialect: McpDialect) -> None:
        self._session = session
        self._caller = caller
        self._dialect = dialect

    async def answer(self, text: str | None) -> bytes:
        if text is None:
            raise SessionEnded(self.farewell("frames are JSON text"))
        return await self._dialect.answer_text(text, self._caller, self._session)

    def farewell(self, reason: str) -> bytes:
        return rpc_error(-32000, reason)


def frames_socket(slots: Slots, dialect: McpDialect) -> SessionSocket:
    def refusal(error: AgentCoreError) -> bytes:
        if isinstance(error, CapacityReached):
            extras: JsonObject = {"active_sessions": error.active, "max_sessions": error.maximum}
            return error_frame("CAPACITY_REACHED", str(error), **extras)
        if isinstance(error, FactoryFailed):
            return error_frame("FACTORY_ERROR", str(error), factory_name=slots.name)
        return error_frame("SESSION_ERROR", str(error), reason=error.code)

    return SessionSocket(slots, lambda session, by: Frames(session, by, dialect), refusal)


def rpc_socket(slots: Slots, dialect: McpDialect) -> SessionSocket:
    def refusal(error: AgentCoreError) -> bytes:
        refused = refusal_of(error, slots.name)
        return dumps({"jsonrpc": "2.0", "id": None, "error": refused.error})

    return SessionSocket(slots, lambda session, by: Rpc(session, by, dialect), refusal)


def rpc_error(code: int, message: str) -> bytes:
    error: JsonObject = {"code": code, "message": message, "data": None}
    return dumps({"jsonrpc": "2.0", "id": None, "error": error})


def error_frame(code: str, message: str, **extras: JsonValue) -> bytes:
    return frame_of(b"error", dumps({"message": message, "code": code, **extras}))


def frame_of(kind: bytes, data: bytes) -> bytes:
    return b'{"type":"%b","data":%b}' % (kind, data)


def data_of(kind: str, frame: JsonObject) -> JsonObject:
    """The frame's data; raises ``InvalidRequest`` where the frame is not one of its kind."""
    if not frame.keys() <= FRAMES[kind]:
        extra = sorted(frame.keys() - FRAMES[kind])
        message = "Extra inputs are not permitted"
        raise InvalidRequest(*(fault("extra_forbidden", message, name) for name in extra))
    data = frame.get("data")
    if isinstance(data, dict):
        return data
    if "data" in frame:
        raise InvalidRequest(fault("dict_type", "Input should be a valid dictionary", "data"))
    if kind in NEED_DATA:
        raise InvalidRequest(fault("missing", "Field required", "data"))
    return {}
