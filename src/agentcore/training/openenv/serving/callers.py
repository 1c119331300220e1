"""What an ASGI request says of its caller, its session and the page that it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import structlog
from starlette.responses import Response

from agentcore.kit.access import deny
from agentcore.kit.errors import Forbidden, problem
from agentcore.kit.jsonvalue import dumps
from agentcore.kit.security import Principal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

# The caller where nobody asks for credentials.
ANYBODY = Principal(subject="local", tenant="default", scopes=frozenset({"admin"}))
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

log = structlog.get_logger()


def caller_of(scope: Mapping[str, Any]) -> Principal:
    """Whom the door let in; a server without a door is everybody's."""
    principal = scope.get("state", {}).get("principal")
    return principal if isinstance(principal, Principal) else ANYBODY


def requested_session(scope: Mapping[str, Any]) -> str:
    """``?session_id=``, or an empty text."""
    query: bytes = scope.get("query_string", b"")
    if b"session_id=" not in query:
        return ""
    return parse_qs(query.decode("latin-1")).get("session_id", [""])[0]


class OriginGate:
    """ASGI middleware: pages of other origins open no sockets and change nothing.

    Browsers name the page's origin and send its user's network along, to loopback servers
    above all; programs name none.
    """

    def __init__(self, app: ASGIApp, allowed: Sequence[str]) -> None:
        self._app = app
        self._allowed = frozenset(allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" or scope.get("method", "GET") not in SAFE:
            headers = dict(scope["headers"])
            origin = headers.get(b"origin", b"").decode("latin-1")
            if origin and not self._lets_in(origin, headers.get(b"host", b"").decode("latin-1")):
                await self._refuse(scope, receive, send, origin)
                return
        await self._app(scope, receive, send)

    def _lets_in(self, origin: str, host: str) -> bool:
        return origin in self._allowed or urlsplit(origin).netloc == host

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, origin: str) -> None:
        log.info("foreign origin refused", origin=origin[:100], path=scope["path"])
        error = Forbidden(
            f"pages of {origin[:100]} may not come here",
            hint="the setting training.server.allowed_origins lets further origins in",
        )
        body = dumps(problem(error, instance=scope["path"]))
        response = Response(body, 403, media_type="application/problem+json")
        await deny(scope, receive, send, response, error.detail)
