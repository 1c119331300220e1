from __future__ import annotations

import json
from base64 import urlsafe_b64encode

import httpx2
import pytest
from a2a.client.card_resolver import parse_agent_card
from a2a.utils.signing import InvalidSignaturesError, create_signature_verifier
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwt import InvalidSignatureError, PyJWK, PyJWS

from agentcore.a2a_protocol.cards import JWKS
from agentcore.a2a_protocol.late import load_signer
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.kit.db import Database
from agentcore.kit.errors import StartupError
from agentcore.kit.jsonvalue import JsonObject, list_of, object_of
from tests.fakes.a2a import a2a, app_of, served


def pem(curve: SECP256R1 | SECP384R1) -> str:
    key = generate_private_key(curve)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize("path", ["", "/a2a/agents/second"])
async def test_the_sdk_verifies_our_signature(database: Database, path: str) -> None:
    config = A2AConfig.model_validate({"signing_key": pem(SECP256R1())})
    async with (
        a2a(database, config=config) as runtime,
        served(app_of(runtime)) as url,
        httpx2.AsyncClient(base_url=url, timeout=60) as http,
    ):
        text = (await http.get(f"{path}/.well-known/agent-card.json")).text
        keys = (await http.get(JWKS)).json()

    def key_at(kid: str | None, jku: str | None) -> PyJWK:
        assert jku == url + JWKS
        return PyJWK(next(key for key in keys["keys"] if key["kid"] == kid))

    verify = create_signature_verifier(key_at, ["ES256"])
    verify(parse_agent_card(json.loads(text)))
    forged = parse_agent_card(json.loads(text.replace("scripted", "forged")))
    forged.name = "Another"
    with pytest.raises(InvalidSignaturesError):
        verify(forged)


async def test_without_a_key_there_is_no_signature(database: Database) -> None:
    async with (
        a2a(database) as runtime,
        served(app_of(runtime)) as url,
        httpx2.AsyncClient(base_url=url, timeout=60) as http,
    ):
        assert (await http.get(JWKS)).json() == {"keys": []}
        assert "signatures" not in (await http.get("/.well-known/agent-card.json")).json()


@pytest.mark.parametrize("wrong", ["", "no key", pem(SECP384R1())])
def test_a_key_that_cannot_sign_is_an_error_at_the_start(wrong: str) -> None:
    with pytest.raises(StartupError, match="SIGNING_KEY"):
        load_signer(wrong)


def test_a_detached_signature_fits_its_body_alone() -> None:
    signer = load_signer(pem(SECP256R1()))
    made = signer.detached(b'{"a":1}', {"aud": "https://hooks.example/", "iat": 7, "jti": "t:c:3"})
    key = object_of(list_of(signer.jwks()["keys"])[0])
    assert opened(made, b'{"a":1}', key)["jti"] == "t:c:3"
    with pytest.raises(InvalidSignatureError):
        opened(made, b'{"a":2}', key)


def opened(detached: str, body: bytes, key: JsonObject) -> JsonObject:
    """The header of the signature, which is that of the body: as a receiver checks it."""
    header, _, signature = detached.split(".")
    whole = f"{header}.{urlsafe_b64encode(body).decode().rstrip('=')}.{signature}"
    found = PyJWS().decode_complete(whole, PyJWK(key).key, algorithms=["ES256"])
    told: JsonObject = found["header"]
    return told
