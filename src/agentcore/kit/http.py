"""The process's one HTTP client pool for the data path, and how addresses are written."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aiohttp

CONNECTIONS = 1024
KEEPALIVE_SECONDS = 60.0


def origin(host: str, port: int) -> str:
    """The URL of a server without a path; IPv6 addresses get their brackets."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def bounded(chunks: AsyncIterable[bytes], most: int) -> bytes:
    """All of a body, or a beginning that is longer than ``most``: the rest is not read."""
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > most:
            break
    return bytes(body)


@asynccontextmanager
async def open_http() -> AsyncIterator[aiohttp.ClientSession]:
    """A pooled client without an overall timeout: each call brings its own."""
    import aiohttp

    connector = aiohttp.TCPConnector(
        limit=CONNECTIONS, keepalive_timeout=KEEPALIVE_SECONDS, ttl_dns_cache=60
    )
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    ) as session:
        yield session
