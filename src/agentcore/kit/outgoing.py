"""A response on its way out, wrapped once for all middleware that must know what became of it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Message, Scope, Send

KEY = "agentcore.outgoing"


class Outgoing:
    """``send`` of a request; ``status`` is 0 until the response begins."""

    __slots__ = ("_header", "_send", "status")

    def __init__(self, send: Send, header: tuple[bytes, bytes] | None = None) -> None:
        self._send = send
        self._header = header
        self.status = 0

    def send(self, message: Message) -> Awaitable[None]:
        # Not a coroutine of its own: it would cost as much as all that is done here.
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self._header is not None:
                message["headers"] = [*message.get("headers", ()), self._header]
        return self._send(message)


def outgoing(scope: Scope, send: Send) -> tuple[Outgoing, Send]:
    """The one that middleware further out has made, or a new one, and what to send with."""
    known = scope.get(KEY)
    if isinstance(known, Outgoing):
        return known, send
    made = Outgoing(send)
    return made, made.send
