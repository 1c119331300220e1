"""A bound on request bodies for routes that read them whole before anybody looks at them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from agentcore.kit.access import Refuse
from agentcore.kit.errors import RequestTooLarge

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_HEADERS = frozenset({b"content-length", b"transfer-encoding"})


class BodyLimit:
    """ASGI middleware: a body below one of ``limits``' prefixes is read here, and refused when it
    has more bytes than the first prefix that fits allows.
    """

    def __init__(self, app: ASGIApp, *, limits: Mapping[str, int], refuse: Refuse) -> None:
        self._app = app
        self._limits = tuple(limits.items())
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        most = self._most(scope["path"]) if scope["type"] == "http" else None
        if most is None:
            await self._app(scope, receive, send)
            return
        headers = {name: value for name, value in scope["headers"] if name in BODY_HEADERS}
        if not headers:
            await self._app(scope, receive, send)
            return
        messages = None
        if _announced(headers.get(b"content-length", b"")) <= most:
            messages = await _read(receive, most)
        if messages is None:
            detail = f"the body has more than {most} bytes"
            error = RequestTooLarge(detail, hint="send less at once")
            await self._refuse(scope, receive, send, error)
            return
        await self._app(scope, _replay(messages, receive), send)

    def _most(self, path: str) -> int | None:
        return next((most for prefix, most in self._limits if path.startswith(prefix)), None)


async def _read(receive: Receive, most: int) -> list[Message] | None:
    """The messages of the whole body; None when it is too large."""
    messages: list[Message] = []
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if size > most:
            return None
        messages.append(message)
        if message["type"] != "http.request" or not message.get("more_body", False):
            return messages


def _announced(length: bytes) -> int:
    return int(length) if length.isdigit() else 0


def _replay(messages: list[Message], receive: Receive) -> Receive:
    waiting = iter(messages)

    async def again() -> Message:
        message = next(waiting, None)
        return await receive() if message is None else message

    return again
