"""Signatures of agent cards: a JWS (RFC 7515) over the canonical card (RFC 8785)."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode

from a2a.types import a2a_pb2 as pb
from a2a.utils.signing import ProtectedHeader, create_agent_card_signer
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from google.protobuf.json_format import (  # type: ignore[import-untyped]  # ships no types
    MessageToDict,
    ParseDict,
)

from agentcore.kit import jsonvalue
from agentcore.kit.errors import StartupError
from agentcore.kit.jsonvalue import JsonObject

ALGORITHM = "ES256"


class EllipticSigner:
    """Signs what of a card belongs to A2A 1.0: members of 0.3 are not in its canonical form."""

    def __init__(self, pem: str) -> None:
        """``pem`` is a private key on the curve P-256, without a password."""
        self._pem = pem
        self._public = _public_key(pem)
        # The thumbprint of RFC 7638: required members, in order.
        whole = jsonvalue.dumps({name: self._public[name] for name in ("crv", "kty", "x", "y")})
        self._kid = _encoded(hashlib.sha256(whole).digest())

    def signatures(self, card: JsonObject, jwks_url: str) -> list[JsonObject]:
        """The card's member ``signatures``; its keys are published at ``jwks_url``."""
        header = ProtectedHeader(kid=self._kid, alg=ALGORITHM, typ="JOSE", jku=jwks_url)
        read = ParseDict(card, pb.AgentCard(), ignore_unknown_fields=True)
        signed = create_agent_card_signer(self._pem, header)(read)
        made: list[JsonObject] = [MessageToDict(each) for each in signed.signatures]
        return made

    def jwks(self) -> JsonObject:
        """The public key, as a JSON Web Key Set (RFC 7517)."""
        return {"keys": [{**self._public, "kid": self._kid, "alg": ALGORITHM, "use": "sig"}]}


def _public_key(pem: str) -> JsonObject:
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError) as exc:
        raise _unusable("it cannot be read") from exc
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise _unusable("it is of another kind")
    numbers = key.public_key().public_numbers()
    x, y = (_encoded(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y}


def _unusable(why: str) -> StartupError:
    return StartupError(
        f"AGENTCORE_A2A__SIGNING_KEY is no private key on the curve P-256: {why}",
        hint="openssl ecparam -name prime256v1 -genkey -noout makes one; give it as file:PATH",
    )


def _encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")
