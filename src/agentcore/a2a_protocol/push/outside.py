"""The HTTP client for webhooks and agents: it connects to addresses outside, and to no others."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from agentcore.a2a_protocol.push.targets import is_outside

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 15.0
# Names whose servers do not answer hold up each other, and nothing else.
LOOKUPS = 16
FAULTS = (aiohttp.ClientError, TimeoutError, OSError, ValueError)

AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]


class NoPublicAddress(PermissionError):
    """A name leads inside."""


class Names(AbstractResolver):
    """Looks names up in threads of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, _looked_up, host, port, family)
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST,
            )
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def open_session(
    *, anywhere: bool, connections: int, unpacking: bool = True
) -> aiohttp.ClientSession:
    """A client for webhooks and agents, to be closed; no cookies, no proxies."""
    connector = aiohttp.TCPConnector(
        limit=connections,
        # What was looked up a moment ago may lead elsewhere by now.
        use_dns_cache=False,
        resolver=Names(),
        socket_factory=None if anywhere else outside_socket,
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS, sock_connect=CONNECT_SECONDS),
        auto_decompress=unpacking,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    )


def outside_socket(info: AddressInfo) -> socket.socket:
    """A socket for the address that is about to be connected to, which has to be outside."""
    family, kind, protocol, _, address = info
    if not is_outside(str(address[0])):
        raise NoPublicAddress(errno.EACCES, f"{address[0]} is no public address")
    return socket.socket(family, kind, protocol)


def _looked_up(host: str, port: int, family: int) -> Sequence[AddressInfo]:
    return socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
