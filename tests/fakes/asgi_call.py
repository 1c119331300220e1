"""One request to an ASGI application, seen message by message; the caller may leave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from agentcore.kit.security import Principal

Message = MutableMapping[str, Any]
ASGIApplication = Callable[..., Awaitable[None]]
ANN = Principal(subject="ann", tenant="acme", scopes=frozenset({"llm"}))


class Call:
    """``parts`` are the pieces in which the request's body arrives."""

    def __init__(
        self,
        app: ASGIApplication,
        *parts: bytes,
        method: str = "POST",
        path: str = "/v1/chat/completions",
        principal: Principal | None = ANN,
        **headers: str,
    ) -> None:
        self._app = app
        self._incoming: asyncio.Queue[Message] = asyncio.Queue()
        for number, part in enumerate(parts or (b"",), start=1):
            more = number < max(1, len(parts))
            self._incoming.put_nowait({"type": "http.request", "body": part, "more_body": more})
        self.sent: list[Message] = []
        self.arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        state: dict[str, Any] = {"trace_id": "t" * 32}
        if principal is not None:
            state["principal"] = principal
        self.scope: dict[str, Any] = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": [
                (name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()
            ],
            "state": state,
        }

    def stop_reading(self) -> None:
        """From now on nothing that is sent finds room."""
        self._room.clear()

    def leave(self) -> None:
        self._incoming.put_nowait({"type": "http.disconnect"})

    async def run(self) -> Call:
        await self._app(self.scope, self._incoming.get, self._send)
        return self

    async def _send(self, message: Message) -> None:
        await self._room.wait()
        self.sent.append(message)
        if message.get("body"):
            self.arrived.set()

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    @property
    def complete(self) -> bool:
        return bool(self.sent) and not self.sent[-1].get("more_body", False)

    @property
    def json(self) -> Any:
        return json.loads(self.body)
