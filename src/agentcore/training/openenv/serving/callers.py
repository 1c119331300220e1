"""What an ASGI request says of its caller, its session and the page that it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import structlog
from starlette.responses import Response

from agentcore.kit.access import deny
from agentcore.kit.errors import Forbidden, problem
from agentcore.kit.jsonvalue import dumps
from agentcore.kit.loopback import check_host, check_origin, is_loopback
from agentcore.kit.security import ANYBODY, Principal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

PROBES = ("/health", "/ready")

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

    Names that were bound anew are the door's to refuse, and where there is no door, this one's.
    """

    def __init__(self, app: ASGIApp, allowed: Sequence[str]) -> None:
        self._app = app
        self._allowed = frozenset(allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if _on_bare_loopback(scope) and not scope["path"].endswith(PROBES):
                check_host(scope)
            check_origin(scope, self._allowed)
        except Forbidden as error:
            await self._refuse(scope, receive, send, error)
            return
        await self._app(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, error: Forbidden) -> None:
        log.info("foreign page refused", reason=error.detail, path=scope["path"])
        body = dumps(problem(error, instance=scope["path"]))
        response = Response(body, 403, media_type="application/problem+json")
        await deny(scope, receive, send, response, error.detail)


def _on_bare_loopback(scope: Mapping[str, Any]) -> bool:
    """Whether nothing stands in front of this server, and it is reached at a loopback address."""
    server = scope.get("server")
    bare = "principal" not in scope.get("state", {})
    return bare and (server is None or is_loopback(server[0]))
