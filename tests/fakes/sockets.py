from __future__ import annotations

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus


async def answered(opening: connect) -> int:
    """The status with which a server answers who opens a WebSocket; 101: it is open."""
    try:
        async with opening as socket:
            assert socket.response is not None
            return socket.response.status_code
    except InvalidStatus as refused:
        return refused.response.status_code
