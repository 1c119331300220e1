"""How many standard-MCP sessions each caller has: nobody takes those of the others."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentcore.kit.clock import Clock
from agentcore.kit.security import Principal
from agentcore.training.openenv.errors import CapacityReached
from agentcore.training.openenv.models import EnvironmentServerConfig
from agentcore.training.openenv.serving.callers import caller_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

Holder = tuple[str, str]
SESSION, VERSION = b"mcp-session-id", b"mcp-protocol-version"
GONE = 404


@dataclass(slots=True)
class _Transport:
    holder: Holder
    used: float
    # Requests in flight: while there are any, the SDK does not take it for idle.
    busy: int = 0


class Transports:
    """Counts what the SDK keeps, by what passes: it tells nobody when a session has ended."""

    def __init__(self, config: EnvironmentServerConfig, clock: Clock) -> None:
        self._most = config.max_sessions_per_caller
        self._idle_seconds = config.session_idle_seconds
        self._clock = clock
        self._known: dict[str, _Transport] = {}
        self._opening: Counter[Holder] = Counter()

    async def serve(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Let ``app`` answer.

        Raises:
            CapacityReached: it would begin one session more than the caller may have.
        """
        caller = caller_of(scope)
        session_id = _header(scope, SESSION)
        if session_id is not None:
            await self._continue(session_id, caller, (app, scope, receive, send))
        elif _shakes_hands(scope):
            self._check_room(caller)
            await self._open(_holder(caller), (app, scope, receive, send))
        else:
            await app(scope, receive, send)

    async def _open(self, holder: Holder, call: tuple[ASGIApp, Scope, Receive, Send]) -> None:
        app, scope, receive, send = call

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                begun = next((value for name, value in message["headers"] if name == SESSION), b"")
                if begun:
                    self._known[begun.decode()] = _Transport(holder, self._clock.monotonic())
            await send(message)

        self._opening[holder] += 1
        try:
            await app(scope, receive, watched)
        finally:
            self._opening[holder] -= 1
            if not self._opening[holder]:
                del self._opening[holder]

    async def _continue(
        self, session_id: str, caller: Principal, call: tuple[ASGIApp, Scope, Receive, Send]
    ) -> None:
        app, scope, receive, send = call
        transport = self._known.get(session_id)
        if transport is None or transport.holder != _holder(caller):
            await app(scope, receive, send)
            return

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                ended = scope["method"] == "DELETE" and message["status"] < 400
                if ended or message["status"] == GONE:
                    self._known.pop(session_id, None)
            await send(message)

        transport.busy += 1
        try:
            await app(scope, receive, watched)
        finally:
            transport.busy -= 1
            transport.used = self._clock.monotonic()

    def _check_room(self, caller: Principal) -> None:
        if caller.may("admin") or caller.is_service:
            return
        self._forget_idle()
        holder = _holder(caller)
        held = sum(known.holder == holder for known in self._known.values())
        held += self._opening[holder]
        if held >= self._most:
            detail = f"{caller.subject} holds {held} of {self._most} standard MCP sessions"
            raise CapacityReached(detail, held, self._most)

    def _forget_idle(self) -> None:
        oldest = self._clock.monotonic() - self._idle_seconds
        for session_id, known in [*self._known.items()]:
            if not known.busy and known.used < oldest:
                del self._known[session_id]


def _holder(caller: Principal) -> Holder:
    return caller.tenant, caller.subject


def _shakes_hands(scope: Scope) -> bool:
    """Whether the protocol version is one that has sessions; one that is not said has."""
    from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

    version = _header(scope, VERSION)
    return version is None or version in HANDSHAKE_PROTOCOL_VERSIONS


def _header(scope: Scope, wanted: bytes) -> str | None:
    found: bytes | None = next((value for name, value in scope["headers"] if name == wanted), None)
    return None if found is None else found.decode("latin-1")
