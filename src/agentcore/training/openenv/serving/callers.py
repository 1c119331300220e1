"""What an ASGI request says of its caller, its session and the page that it comes from."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import structlog
from starlette.responses import Response

from agentcore.kit.access import deny
from agentcore.kit.errors import Forbidden, problem
from agentcore.kit.jsonvalue import dumps
from agentcore.kit.security import ANYBODY, Principal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
DEFAULT_PORTS = {"http": 80, "https": 443}
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


def check_host(scope: Mapping[str, Any]) -> None:
    """Where loopback is the only door, a request must be addressed to loopback.

    A page whose own name was made to resolve to 127.0.0.1 (DNS rebinding) is of the same origin
    for its browser; the name in ``Host`` gives it away. Probes come without credentials anyway.

    Raises:
        Forbidden: ``Host`` is the name of something else.
    """
    host = _header(scope, b"host")
    if not host or not _loopback_is_the_door(scope):
        return
    name, _ = _place(f"//{host}")
    if not _is_loopback(name) and not scope["path"].endswith(PROBES):
        raise Forbidden(
            f"this server is not {host[:100]!r}",
            hint="without credentials it is reached as localhost or 127.0.0.1 only",
        )


def check_origin(scope: Mapping[str, Any], allowed: Collection[str] = ()) -> None:
    """Refuse pages of other origins; programs name no origin.

    Raises:
        Forbidden: the page is neither of this host nor of an allowed origin.
    """
    origin = _header(scope, b"origin")
    if not origin or origin in allowed:
        return
    host = _header(scope, b"host")
    name, port = _place(origin)
    if _loopback_is_the_door(scope):
        own = _is_loopback(name) and port == _place(f"//{host}")[1]
    else:
        own = bool(name) and urlsplit(origin).netloc == host
    if not own:
        raise Forbidden(
            f"pages of {origin[:100]!r} may not come here",
            hint="the setting training.server.allowed_origins lets further origins in",
        )


def _loopback_is_the_door(scope: Mapping[str, Any]) -> bool:
    """Whether nobody asks for credentials, and the request arrived at a loopback address."""
    server = scope.get("server")
    return caller_of(scope) is ANYBODY and (server is None or _is_loopback(server[0]))


def _is_loopback(name: str) -> bool:
    try:
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


def _place(url: str) -> tuple[str, int | None]:
    """Name and port; no name where it is not a URL."""
    try:
        parts = urlsplit(url)
        return parts.hostname or "", parts.port or DEFAULT_PORTS.get(parts.scheme, 80)
    except ValueError:
        return "", None


def _header(scope: Mapping[str, Any], wanted: bytes) -> str:
    value: bytes = next((value for name, value in scope["headers"] if name == wanted), b"")
    return value.decode("latin-1")


class OriginGate:
    """ASGI middleware: pages of other origins open no sockets and change nothing.

    Browsers name the page's origin and send its user's network along, to loopback servers
    above all; programs name none.
    """

    def __init__(self, app: ASGIApp, allowed: Sequence[str]) -> None:
        self._app = app
        self._allowed = frozenset(allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            check_host(scope)
            if scope["type"] == "websocket" or scope.get("method", "GET") not in SAFE:
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
