"""A client session for the first request: most processes never send one, and aiohttp is large."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import aiohttp

CONNECTIONS = 64


class LateSession:
    """To be entered, so that it is closed if it was opened; ``anywhere``: inside, too."""

    def __init__(
        self, *, anywhere: bool, connections: int = CONNECTIONS, unpacking: bool = True
    ) -> None:
        self._unpacking = unpacking
        self._anywhere = anywhere
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    def opened(self) -> aiohttp.ClientSession:
        """To be called in the event loop."""
        if self._session is None:
            from agentcore.a2a_protocol.push.outside import open_session  # noqa: PLC0415 - aiohttp

            self._session = open_session(
                anywhere=self._anywhere, connections=self._connections, unpacking=self._unpacking
            )
        return self._session

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()
