"""Where webhooks and agents may be: not inside. Checked when one is named, and when connecting.

A name may lead to another address each time it is looked up, and an address may be written in ways
that nobody thought of; so what counts is the address that is connected to, and nothing is followed
from there.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from yarl import URL

from agentcore.a2a_protocol.errors import InvalidParams

LONGEST_URL = 2048
PRIVATE = "its address is private"
# They carry an address of version 4 inside, or were local to a site once.
NOT_OUTSIDE = tuple(
    map(IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::/96", "::ffff:0:0:0/96", "fec0::/10"))
)
# Of protocols (RFC 6890), some of which older versions of Python take for public.
PROTOCOLS = IPv4Network("192.0.0.0/24")


def is_outside(address: str) -> bool:
    """Whether the address is one of the public network."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if inner is not None:
            found = inner
        elif found.teredo is not None or any(found in network for network in NOT_OUTSIDE):
            return False
    return found.is_global and not found.is_multicast and found not in PROTOCOLS


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
    return "" if anywhere or _may_be_outside(host) else PRIVATE


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
