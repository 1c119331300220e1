"""Connections that outlast a request: their callers must still be let in while they last.

A token expires and a key is revoked while a WebSocket or an event stream is open. Whoever opened it
is asked for again now and then, by the credential it came with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from agentcore.kit.errors import AgentCoreError, Unauthenticated
from agentcore.kit.security import Authenticator

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

# How long an open connection may outlast its credential.
RECHECK_SECONDS = 30.0
# Where in an ASGI scope's state a response finds it.
STANDING = "standing"
# RFC 6455, section 7.4.1.
POLICY_VIOLATION = 1008

Standing = Callable[[], Awaitable[bool]]


class CredentialGone(Exception):
    """The credential that opened the connection is no longer good."""


async def still_good(
    authenticator: Callable[[], Authenticator], headers: Mapping[bytes, bytes]
) -> bool:
    """Whether the credential in ``headers`` is; a database that is away sends nobody away."""
    try:
        await authenticator().authenticate(headers)
    except Unauthenticated:
        return False
    except AgentCoreError:
        return True
    return True


async def serve_while_standing(
    app: ASGIApp,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    standing: Standing,
    every: float = RECHECK_SECONDS,
) -> None:
    """Serve a WebSocket; it is closed when ``standing`` is no more."""
    try:
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(_watch(standing, every))
            try:
                await app(scope, receive, send)
            finally:
                watch.cancel()
    except BaseExceptionGroup as raised:
        # The server tells failures of an application apart by their class: no group around them.
        _, failure = raised.split(CredentialGone)
        if failure is not None:
            raise failure.exceptions[0] from None
        # The application may have closed it while it was being ended.
        with suppress(RuntimeError, OSError):
            reason = "the credential has expired or was revoked"
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": reason})


async def _watch(standing: Standing, every: float) -> None:
    while True:
        await asyncio.sleep(every)
        if not await standing():
            raise CredentialGone
