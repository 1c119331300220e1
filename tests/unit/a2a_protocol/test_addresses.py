from __future__ import annotations

import pytest

from agentcore.a2a_protocol.models.remote import NO_TRUST, TrustedOrigin
from agentcore.a2a_protocol.remote.addresses import address_of, origin_of
from agentcore.a2a_protocol.remote.errors import RemoteAddressRefused
from agentcore.kit.jsonvalue import JsonObject

URL = "https://poet.example/rpc"


def interface(url: str = URL, binding: str = "JSONRPC", version: str = "1.0") -> JsonObject:
    return {"url": url, "protocolBinding": binding, "protocolVersion": version}


@pytest.mark.parametrize(
    ("card", "url", "version"),
    [
        ({"supportedInterfaces": [interface()]}, URL, "1.0"),
        ({"supportedInterfaces": [interface(version="1.0.1")]}, URL, "1.0"),
        (
            {"supportedInterfaces": [
                interface(binding="GRPC"), interface("http://b.example", version="0.3"),
                interface("http://c.example")]},
            "http://c.example", "1.0",
        ),
        ({"url": URL, "supportedInterfaces": [interface(binding="GRPC")]}, URL, "0.3"),
        ({"url": URL, "protocolVersion": "0.3.0"}, URL, "0.3"),
        (
            {"url": "http://a.example", "preferredTransport": "GRPC",
             "additionalInterfaces": [{"url": URL, "transport": "JSONRPC"}]},
            URL, "0.3",
        ),
    ],
)  # fmt: skip
def test_the_newest_version_that_both_speak(card: JsonObject, url: str, version: str) -> None:
    found = address_of("poet", card, "acme")
    assert (found.url, found.version, found.streaming, found.trust) == (
        url,
        version,
        True,
        NO_TRUST,
    )


def test_what_the_card_asks_for_and_cannot_do() -> None:
    card: JsonObject = {
        "supportedInterfaces": [{**interface(), "tenant": "verse"}],
        "capabilities": {"streaming": False},
    }
    found = address_of("poet", card, "acme")
    assert (found.tenant, found.streaming) == ("verse", False)


@pytest.mark.parametrize(
    ("card", "why"),
    [
        ({}, "offers nothing"),
        ({"supportedInterfaces": [interface(binding="GRPC", version="2.0")]}, "offers GRPC 2.0"),
        ({"url": "http://127.0.0.1/x"}, "address is private"),
        ({"url": "http://[::1]:8000/"}, "address is private"),
        ({"url": "ftp://poet.example/"}, "absolute URL of http"),
        ({"url": "http://user:pw@poet.example/"}, "password"),
    ],
)
def test_cards_that_lead_nowhere(card: JsonObject, why: str) -> None:
    with pytest.raises(RemoteAddressRefused, match=why):
        address_of("poet", card, "acme")


def test_trust_is_by_origin_and_tenant() -> None:
    inside = TrustedOrigin(origin="http://127.0.0.1:80", inside=True)
    other = TrustedOrigin(origin="http://127.0.0.1", inside=True, tenants=("other",))
    card: JsonObject = {"url": "http://127.0.0.1/rpc"}
    assert address_of("poet", card, "acme", trusted=[other, inside]).trust is inside
    with pytest.raises(RemoteAddressRefused):
        address_of("poet", card, "acme", trusted=[other])
    assert address_of("poet", card, "acme", anywhere=True).trust is NO_TRUST


def test_origins() -> None:
    assert origin_of("HTTPS://Poet.Example/x?y") == origin_of("https://poet.example:443")
    assert [origin_of(each) for each in ("", "poet", "http://a:99999", "http://[::1")] == [""] * 4
