"""Cards of agents elsewhere whose origin the operator has given keys for."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agentcore.a2a_protocol.errors import CardNotSigned
from agentcore.a2a_protocol.late import load_signer, load_verifier
from agentcore.a2a_protocol.models.agent import AgentHealth
from agentcore.a2a_protocol.models.agent_card import AgentCard
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.a2a_protocol.models.remote import TrustedOrigin
from agentcore.a2a_protocol.registry.health import unanswered
from agentcore.a2a_protocol.registry.reading import CardReader
from agentcore.kit.db import Database
from agentcore.kit.errors import StartupError
from agentcore.kit.jsonvalue import JsonObject, dumps, list_of
from tests.fakes.a2a import a2a, principal
from tests.fakes.card_server import CardServer, card_server

ALICE = principal()
EXTRA: JsonObject = {"url": "http://evil.example/", "x-own": "added"}


@dataclass(frozen=True)
class Party:
    """Somebody with a key."""

    signer: object
    keys: str

    def sign(self, card: JsonObject) -> JsonObject:
        signatures = self.signer.signatures(card, "https://nowhere.example/jwks")  # type: ignore[attr-defined]  # of load_signer
        return {**card, "signatures": signatures}


def party() -> Party:
    key = generate_private_key(SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    signer = load_signer(pem)
    return Party(signer, json.dumps(signer.jwks()))


POET, STRANGER = party(), party()


def card_at(url: str) -> JsonObject:
    return {
        "name": "Poet",
        "description": "Writes odes, in \u00e9 and \u2028.",
        "version": "1.0.0",
        "supportedInterfaces": [
            {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
        ],
        "capabilities": {"streaming": True},
        "skills": [{"id": "ode", "name": "Ode", "description": "One.", "tags": ["verse"]}],
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
    }


@pytest.fixture
async def server() -> AsyncIterator[CardServer]:
    async with card_server() as running:
        yield running


def reader(url: str) -> CardReader:
    origin = TrustedOrigin.model_validate({"origin": url, "keys": POET.keys, "tenants": ["acme"]})
    return CardReader(anywhere=True, trusted=[origin])


async def test_a_signed_card_counts_and_nothing_that_was_put_to_it(server: CardServer) -> None:
    server.body = dumps({**POET.sign(card_at(f"{server.url}/rpc")), **EXTRA})
    found = await reader(server.url).read(server.card_url, tenant="acme")
    assert found.card is not None
    assert found.card.addresses() == (f"{server.url}/rpc",)
    assert (found.card.url, found.card.model_extra is None) == (None, False)
    assert "x-own" not in (found.card.model_extra or {})
    assert found.card.skills[0].id == "ode"


async def test_another_card_does_not(server: CardServer) -> None:
    card = card_at(f"{server.url}/rpc")
    signed = POET.sign(card)
    wrong: list[tuple[JsonObject, str]] = [
        (card, "it is not signed"),
        (STRANGER.sign(card), "none of its signatures"),
        ({**signed, "name": "Another"}, "none of its signatures"),
        ({**signed, "signatures": [{"protected": "e30", "signature": "AA"}]}, "none of its"),
        ({**signed, "signatures": [{"protected": "\u00e9", "signature": "\u00e9"}]}, "none of its"),
        ({**signed, "signatures": [*list_of(signed["signatures"])] * 9}, "more than 8"),
        ({**card, "provider": 7}, "only cards of A2A 1.0"),
    ]
    for body, reason in wrong:
        server.body = dumps(body)
        with pytest.raises(CardNotSigned, match=reason):
            await reader(server.url).read(server.card_url, tenant="acme")
        # The keys are for the agents of one tenant there.
        assert (await reader(server.url).read(server.card_url, tenant="other")).card is not None


async def test_a_card_from_anywhere_that_leads_there_has_to_be_signed() -> None:
    """By each of its interfaces: which one is used is decided later."""
    trusting = reader("https://poet.example")
    old: JsonObject = {"name": "P", "url": "https://poet.example/a", "capabilities": {}}
    more: JsonObject = {
        "name": "P",
        "additionalInterfaces": [{"url": "https://poet.example/b", "transport": "JSONRPC"}],
    }
    for body in (card_at("https://poet.example/rpc"), old, more):
        with pytest.raises(CardNotSigned):
            trusting.checked(AgentCard.model_validate(body), tenant="acme")
    elsewhere = AgentCard.model_validate(card_at("https://other.example/rpc"))
    assert trusting.checked(elsewhere, tenant="acme") is elsewhere


async def test_agents_are_registered_by_signed_cards(
    database: Database, server: CardServer
) -> None:
    trusted: JsonObject = {"origin": server.url, "keys": POET.keys, "inside": True}
    config = A2AConfig.model_validate({"trusted": [trusted]})
    card = card_at(f"{server.url}/rpc")
    async with a2a(database, config=config) as runtime:
        for body in (card, STRANGER.sign(card)):
            server.body = dumps(body)
            with pytest.raises(CardNotSigned):
                await runtime.agents.register_at(server.card_url, ALICE, agent_id="poet")
            with pytest.raises(CardNotSigned):
                await runtime.agents.register(AgentCard.model_validate(body), ALICE)
        server.body = dumps(POET.sign(card))
        made = await runtime.agents.register_at(server.card_url, ALICE, agent_id="poet")
        # A card that is replaced by another one makes the agent ill, and is not followed.
        server.body, server.etag = dumps({**card, "name": "Another"}), '"2"'
        await runtime.known.health.check(replace(made, failures=2))
        ill = unanswered(replace(made, failures=2), "", made.created_at)
        assert ill.health is AgentHealth.UNHEALTHY
        assert (await runtime.agents.get("poet", ALICE)).name == "Poet"


async def test_agents_from_before_there_were_keys(database: Database, server: CardServer) -> None:
    """Keys count for them, too: those without a signature are asked nothing any more."""
    origin: JsonObject = {"origin": server.url, "inside": True}
    card = card_at(f"{server.url}/rpc")
    signed = AgentCard.model_validate({**POET.sign(card), **EXTRA})
    before = A2AConfig.model_validate({"trusted": [origin]})
    async with a2a(database, config=before) as runtime:
        server.body = dumps(card)
        followed = await runtime.agents.register_at(server.card_url, ALICE, agent_id="followed")
        plain = AgentCard.model_validate(card)
        await runtime.agents.register(plain, ALICE, agent_id="told")
        await runtime.agents.register(signed, ALICE, agent_id="signed")
        assert (await runtime.directory.candidate("told", ALICE)).card is not None
    after = A2AConfig.model_validate({"trusted": [{**origin, "keys": POET.keys}]})
    async with a2a(database, config=after) as runtime:
        for agent_id in ("followed", "told"):
            with pytest.raises(CardNotSigned, match="it is not signed"):
                await runtime.directory.candidate(agent_id, ALICE)
        found = (await runtime.directory.candidate("signed", ALICE)).card
        assert found is not None
        assert EXTRA.keys().isdisjoint(found)
    # Whose card is still the one of the ETag is looked at, too.
    with pytest.raises(CardNotSigned):
        await reader(server.url).read(server.card_url, tenant="acme", etag=followed.card_etag)


@pytest.mark.parametrize(
    "keys",
    ["", "{}", "[]", "no JSON", '{"keys": []}', '{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}'],
)
def test_what_are_no_keys(keys: str) -> None:
    with pytest.raises(StartupError, match="cannot be used"):
        load_verifier(keys)
