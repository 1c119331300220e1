"""Where webhooks and agents may be: not inside. Checked when one is named, and when connecting.

A name may lead to another address each time it is looked up; so what counts is the address that is
connected to, and nothing is followed from there.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from agentcore.a2a_protocol.errors import InvalidParams

LONGEST_URL = 2048
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 15.0
CONNECTIONS = 64
# They carry an address of version 4 inside.
TRANSLATED = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))


def is_outside(address: str) -> bool:
    """Whether the address is one of the public network."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if inner is not None:
            found = inner
        elif found.teredo is not None or any(found in network for network in TRANSLATED):
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
    try:
        parsed = urlsplit(url)
        host, _ = parsed.hostname, parsed.port
    except ValueError:
        return "it cannot be read"
    if len(url) > LONGEST_URL or parsed.scheme not in {"http", "https"} or not host:
        return "it has to be an absolute URL of http or https"
    if parsed.username is not None or parsed.password is not None:
        return "it holds a user name or password"
    return "" if anywhere or _may_be_outside(host) else "its address is private"


class GuardedResolver(AbstractResolver):
    """Names lead outside, or nowhere."""

    def __init__(self) -> None:
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        outside = [each for each in found if is_outside(each["host"])]
        if not outside:
            raise OSError(f"{host} has no public address")
        return outside

    async def close(self) -> None:
        await self._inner.close()


def open_session(*, anywhere: bool, connections: int = CONNECTIONS) -> aiohttp.ClientSession:
    """A client for webhooks and agents, to be closed; no cookies, no proxies."""
    connector = aiohttp.TCPConnector(
        limit=connections,
        # What was looked up a moment ago may lead elsewhere by now.
        use_dns_cache=False,
        resolver=None if anywhere else GuardedResolver(),
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS, sock_connect=CONNECT_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    )


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
