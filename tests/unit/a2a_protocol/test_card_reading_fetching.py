from __future__ import annotations

import gzip
from collections.abc import AsyncIterator

import pytest

from agentcore.a2a_protocol.errors import CardUnreadable, InvalidParams
from agentcore.a2a_protocol.models.agent_card import LARGEST_CARD
from agentcore.a2a_protocol.models.remote import TrustedOrigin
from agentcore.a2a_protocol.registry.reading import CardReader, places
from tests.fakes.card_server import CARD, CardServer, card_server

READER = CardReader(anywhere=True)


@pytest.fixture
async def server() -> AsyncIterator[CardServer]:
    async with card_server() as running:
        yield running


async def test_a_card_is_read_once_and_asked_for_again(server: CardServer) -> None:
    found = await READER.read(server.card_url, tenant="acme")
    assert found.card is not None
    assert (found.card.name, found.etag) == ("Poet", '"1"')
    again = await READER.read(server.card_url, tenant="acme", etag=found.etag)
    assert (again.card, again.etag) == (None, '"1"')
    server.etag = '"2"'
    changed = await READER.read(server.card_url, tenant="acme", etag=found.etag)
    assert changed.card == found.card


BAD: list[tuple[bytes, str]] = [
    (b"", "not JSON"),
    (b"<html>", "not JSON"),
    (b"[]", "a JSON object"),
    (b"7", "a JSON object"),
    (b"{}", "name"),
    (b'{"name": 7}', "name"),
    (b'{"name": "x", "skills": [[]]}', "skills.0"),
    (b'{"name": "x", "skills": {"id": "s"}}', "skills"),
    (b'{"name": "x", "url": ["http://x"]}', "url"),
    (b'{"name": "x", "supportedInterfaces": [{"url": null}]}', "supportedInterfaces.0.url"),
    (b'{"name": "x\\u0000"}', "U[+]0000"),
    (b'{"name": "\\ud800"}', "not JSON"),
    (b'{"name": "\xff"}', "not JSON"),
    (b'{"name": "x", "y": NaN}', "not JSON"),
    (b'{"name": "x", "y": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "."),
    (b'{"name": "x", "y": ' + b"[" * 40 + b"]" * 40 + b"}", "nested deeper"),
    (b'{"name": "x", "y": "' + b"z" * LARGEST_CARD + b'"}', f"more than {LARGEST_CARD} bytes"),
    (gzip.compress(b'{"name": "' + b"x" * 1_000_000 + b'"}'), "not JSON"),
]


async def test_what_is_no_card(server: CardServer) -> None:
    for body, reason in BAD:
        server.body = body
        with pytest.raises(CardUnreadable, match=reason):
            await READER.read(server.card_url, tenant="acme")


async def test_what_answers_with_anything_but_a_card(server: CardServer) -> None:
    for status, headers in ((302, {"location": "http://127.0.0.1/x"}), (304, {}), (500, {})):
        server.status, server.headers = status, headers
        with pytest.raises(CardUnreadable, match=f"status {status}"):
            await READER.read(server.card_url, tenant="acme")
    assert len(server.asked) == 3, "a redirect is not followed"
    # What is packed is not unpacked, so that nothing small becomes huge.
    server.status, server.headers = 200, {"content-encoding": "gzip"}
    server.body = gzip.compress(server.body)
    with pytest.raises(CardUnreadable, match="not JSON"):
        await READER.read(server.card_url, tenant="acme")


async def test_an_address_at_which_nobody_answers() -> None:
    with pytest.raises(CardUnreadable, match="cannot be connected to"):
        await READER.read("http://127.0.0.1:1/card", tenant="acme")


async def test_addresses_inside_are_not_connected_to(server: CardServer) -> None:
    guarded = CardReader(anywhere=False)
    port = server.url.rpartition(":")[2]
    for url in (server.card_url, f"http://localhost:{port}/", "http://169.254.169.254/", "ftp://x"):
        with pytest.raises(InvalidParams, match="address of an agent"):
            await guarded.read(url, tenant="acme")
    assert server.asked == []


async def test_the_operator_may_trust_a_place_inside(server: CardServer) -> None:
    trust = TrustedOrigin.model_validate(
        {"origin": server.url, "inside": True, "tenants": ["acme"]}
    )
    reader = CardReader(anywhere=False, trusted=[trust])
    assert (await reader.read(server.card_url, tenant="acme")).card is not None
    with pytest.raises(InvalidParams, match="private"):
        await reader.read(server.card_url, tenant="evil")


async def test_a_name_that_leads_inside_is_refused_like_its_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The guard of each connection says so too: it is no fault of the agent."""
    import socket

    def inside(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.7", 80))]

    monkeypatch.setattr(socket, "getaddrinfo", inside)
    with pytest.raises(InvalidParams, match="its address is private"):
        await CardReader(anywhere=False).read("http://agents.example.com/card", tenant="acme")


async def test_the_first_place_that_has_a_card(server: CardServer) -> None:
    below, host = places(f"{server.url}/a2a/")
    assert (below, host) == (f"{server.url}/a2a{server.path}", server.card_url)
    found = await READER.read_first((below, host), tenant="acme")
    assert found.card is not None
    assert found.card.version == CARD["version"]
    server.status = 503
    with pytest.raises(CardUnreadable, match="status 404"):
        await READER.read_first((below, host), tenant="acme")
    with pytest.raises(CardUnreadable, match="no address"):
        await READER.read_first((), tenant="acme")


@pytest.mark.parametrize("endpoint", ["", "poet", "grpc://x:1", "http://", "http://[::1", "stdio"])
def test_endpoints_without_a_place_for_cards(endpoint: str) -> None:
    assert places(endpoint) == ()
