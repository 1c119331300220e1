"""Where webhooks and agents may be: not inside. Checked when one is named, and when connecting.

A name may lead to another address each time it is looked up, and an address may be written in ways
that nobody thought of; so what counts is the address that is connected to, and nothing is followed
from there.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from agentcore.a2a_protocol.errors import InvalidParams

LONGEST_URL = 2048
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 15.0
CONNECTIONS = 64
# Names whose servers do not answer hold up each other, and nothing else.
LOOKUPS = 16
# They carry an address of version 4 inside, or were local to a site once.
NOT_OUTSIDE = tuple(
    map(IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::/96", "::ffff:0:0:0/96", "fec0::/10"))
)

AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]


def is_outside(address: str) -> bool:
    """Whether the address is one of the public network."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if inner is not None:
            found = inner
        elif found.teredo is not None or any(found in network for network in NOT_OUTSIDE):
            return False
    return found.is_global and not found.is_multicast


def check_url(url: str, *, anywhere: bool) -> None:
    """Refuse what is no webhook; ``anywhere`` allows addresses inside.

    Raises:
        InvalidParams: not an absolute URL of HTTP, or it names a private address.
    """
    if why := fault_in(url, anywhere=anywhere):
        raise InvalidParams(
            f"{url[:120]!r} cannot be a webhook: {why}",
            hint="give a public address; AGENTCORE_A2A__PUSH_ANYWHERE allows others",
        )


def fault_in(url: str, *, anywhere: bool) -> str:
    """Why nothing is sent to ``url``; empty where it may be."""
    if len(url) > LONGEST_URL:
        return f"it has more than {LONGEST_URL} characters"
    try:
        # As the client reads it: in its eyes digits of any script are digits.
        parsed = URL(url)
        host = parsed.host
    except ValueError:
        return "it cannot be read"
    if parsed.scheme not in {"http", "https"} or not host:
        return "it has to be an absolute URL of http or https"
    if parsed.user is not None or parsed.password is not None:
        return "it holds a user name or password"
    return "" if anywhere or _may_be_outside(host) else "its address is private"


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


def open_session(*, anywhere: bool, connections: int = CONNECTIONS) -> aiohttp.ClientSession:
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
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    )


def outside_socket(info: AddressInfo) -> socket.socket:
    """A socket for the address that is about to be connected to, which has to be outside."""
    family, kind, protocol, _, address = info
    if not is_outside(str(address[0])):
        raise PermissionError(errno.EACCES, f"{address[0]} is no public address")
    return socket.socket(family, kind, protocol)


def _looked_up(host: str, port: int, family: int) -> Sequence[AddressInfo]:
    return socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)


def _may_be_outside(host: str) -> bool:
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith((".localhost", ".local", ".internal")):
        return False
    literal = _literal(name)
    return literal is None or is_outside(literal)


def _literal(name: str) -> str | None:
    """The address that is written there, also in the old numeric forms of version 4."""
    try:
        return str(ip_address(name))
    except ValueError:
        pass
    try:
        return str(IPv4Address(socket.inet_aton(name)))
    except OSError:
        return None
