"""From an agent's card to the one interface that is used, and what it is trusted with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from agentcore.a2a_protocol.models.remote import NO_TRUST, RemoteAddress, TrustedOrigin
from agentcore.a2a_protocol.push.targets import fault_in
from agentcore.a2a_protocol.remote.errors import RemoteAddressRefused
from agentcore.kit.jsonvalue import JsonObject, object_of, objects_of

BINDING = "JSONRPC"
PORTS = {"http": 80, "https": 443}
# The order in which the versions are taken.
VERSIONS = ("1.0", "0.3")
HINT = "A2A 1.0: supportedInterfaces; 0.3: url, preferredTransport, additionalInterfaces"


def address_of(
    agent_id: str,
    card: JsonObject,
    tenant: str,
    *,
    trusted: Sequence[TrustedOrigin] = (),
    anywhere: bool = False,
) -> RemoteAddress:
    """The interface of ``card`` that both sides speak, the newer version first.

    Raises:
        RemoteAddressRefused: it has none, or one at an address where agents may not be.
    """
    offered = list(_interfaces(card))
    found = next((each for version in VERSIONS for each in offered if each[1] == version), None)
    if found is None:
        said = ", ".join(f"{binding} {version}" for binding, version in _said(card)) or "nothing"
        raise RemoteAddressRefused(
            f"the card of {agent_id!r} offers {said}, and {BINDING} of A2A 1.0 or 0.3 is needed",
            hint=HINT,
        )
    url, version, routed = found
    trust = trust_in(url, tenant, trusted)
    if fault := fault_in(url, anywhere=anywhere or trust.inside):
        raise RemoteAddressRefused(
            f"the agent {agent_id!r} is said to be at {url[:120]!r}: {fault}",
            hint="agents are at public addresses; a2a.trusted (inside) and "
            "AGENTCORE_A2A__AGENTS_ANYWHERE allow others",
        )
    streaming = object_of(card.get("capabilities")).get("streaming") is not False
    return RemoteAddress(
        agent_id=agent_id,
        url=url,
        version=version,
        tenant=routed,
        streaming=streaming,
        trust=trust,
    )


def trust_in(url: str, tenant: str, trusted: Sequence[TrustedOrigin]) -> TrustedOrigin:
    """What the operator grants an agent of that tenant at ``url``."""
    return next((each for each in trusted if _covers(each, url, tenant)), NO_TRUST)


def origin_of(url: str) -> str:
    """Scheme, host and port of ``url``; empty where it has none that can be read."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port or PORTS.get(parts.scheme)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.hostname}:{port}" if parts.hostname and port else ""


def _covers(trust: TrustedOrigin, url: str, tenant: str) -> bool:
    origin = origin_of(url)
    mine = not trust.tenants or tenant in trust.tenants
    return mine and bool(origin) and origin == origin_of(trust.origin)


def _interfaces(card: JsonObject) -> Iterable[tuple[str, str, str]]:
    """URL, version and tenant of those that speak JSON-RPC."""
    for each in objects_of(card.get("supportedInterfaces")):
        if each.get("protocolBinding", BINDING) == BINDING:
            tenant = str(each.get("tenant") or "")
            yield str(each.get("url", "")), _short(each.get("protocolVersion", "1.0")), tenant
    if "url" in card and card.get("preferredTransport", BINDING) == BINDING:
        yield str(card["url"]), "0.3", ""
    for each in objects_of(card.get("additionalInterfaces")):
        if each.get("transport") == BINDING:
            yield str(each.get("url", "")), "0.3", ""


def _said(card: JsonObject) -> Iterable[tuple[str, str]]:
    for each in objects_of(card.get("supportedInterfaces")):
        yield str(each.get("protocolBinding", BINDING)), _short(each.get("protocolVersion", "1.0"))
    if "url" in card:
        yield str(card.get("preferredTransport", BINDING)), "0.3"


def _short(version: object) -> str:
    """Without the patch, which says nothing about the wire."""
    return ".".join(str(version).split(".")[:2])
