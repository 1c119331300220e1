"""Who comes in where loopback is the only door: programs, and pages of this very server.

A browser sends requests of any page to 127.0.0.1, its user's machine. It names the page's origin
where the page opens a socket or sends something. A page whose own name was made to resolve to
127.0.0.1 (DNS rebinding) is of the same origin for it: the name in ``Host`` gives that away.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog

from agentcore.kit.access import Refuse
from agentcore.kit.errors import Forbidden

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
DEFAULT_PORTS = {"http": 80, "https": 443}
MOST_KNOWN_HOSTS = 64

log = structlog.get_logger()


def check_host(scope: Mapping[str, Any], names: Collection[str] = ()) -> None:
    """Where nobody is asked for credentials, requests are addressed to loopback or to ``names``.

    Raises:
        Forbidden: ``Host`` is the name of something else.
    """
    for host in _headers(scope, b"host"):
        name, _ = _place(f"//{host}")
        if host and not is_loopback(name) and name not in names:
            raise Forbidden(
                f"this server is not {host[:100]!r}",
                hint="without credentials it is reached as localhost or 127.0.0.1 only",
            )


def check_origin(scope: Mapping[str, Any], allowed: Collection[str] = ()) -> None:
    """Refuse what pages of other origins send, and the sockets they open; programs name no origin.

    Raises:
        Forbidden: the page is neither of this host nor of an allowed origin.
    """
    if scope["type"] == "http" and scope["method"] in SAFE:
        return
    for origin in _headers(scope, b"origin"):
        host = next(_headers(scope, b"host"), "")
        if origin not in allowed and not _same(origin, host):
            raise Forbidden(
                f"pages of {origin[:100]!r} may not come here",
                hint="the setting training.server.allowed_origins lets further origins in to "
                "environments",
            )


class LoopbackGate:
    """ASGI middleware in front of every route of a server that asks for no credentials.

    ``probes`` are the paths that anybody may ask, ``names`` what else the server is called, and
    ``origins`` the pages that may come to paths below a prefix.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        refuse: Refuse,
        probes: Collection[str] = (),
        names: Collection[str] = (),
        origins: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        self._app = app
        self._refuse = refuse
        self._probes = frozenset(probes)
        self._names = frozenset(names)
        self._origins = origins or {}
        # Hosts as they were sent and found good: the common case costs a look.
        self._known: set[bytes] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan" and not self._is_plain(scope["headers"]):
            try:
                self._check(scope)
            except Forbidden as error:
                log.info("foreign page refused", reason=error.detail, path=scope["path"])
                await self._refuse(scope, receive, send, error)
                return
        await self._app(scope, receive, send)

    def _is_plain(self, headers: Collection[tuple[bytes, bytes]]) -> bool:
        """Whether no page sent it, and to a host that is known."""
        for name, value in headers:
            if name == b"host":
                if value not in self._known:
                    return False
            elif name == b"origin":
                return False
        return True

    def _check(self, scope: Scope) -> None:
        path = scope["path"]
        if path in self._probes:
            return
        check_host(scope, self._names)
        if len(self._known) < MOST_KNOWN_HOSTS:
            self._known |= {value for name, value in scope["headers"] if name == b"host"}
        below = [pages for prefix, pages in self._origins.items() if path.startswith(prefix)]
        check_origin(scope, [page for pages in below for page in pages])


def _same(origin: str, host: str) -> bool:
    """Whether ``origin`` is that of ``host``; all names of loopback are one."""
    name, port = _place(origin)
    if not name:
        return False
    if urlsplit(origin).netloc == host:
        return True
    own_name, own_port = _place(f"//{host}")
    return is_loopback(name) and is_loopback(own_name) and port == own_port


def is_loopback(name: str) -> bool:
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


def _headers(scope: Mapping[str, Any], wanted: bytes) -> Iterator[str]:
    return (value.decode("latin-1") for name, value in scope["headers"] if name == wanted)
