"""Signatures by JWS (RFC 7515): of agent cards, over their canonical form (RFC 8785), and of what
webhooks are told, over its bytes.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode

from a2a.types import a2a_pb2 as pb
from a2a.utils.signing import ProtectedHeader, create_agent_card_signer
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
)
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
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
        self._key = _private_key(pem)
        self._public = _public_key(self._key)
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

    def detached(self, body: bytes, said: JsonObject) -> str:
        """A signature that travels beside ``body``: header and signature of the JWS, no payload.

        ``said`` are members of its header.
        """
        header = _encoded(jsonvalue.dumps({"alg": ALGORITHM, "kid": self._kid, **said}))
        signed = self._key.sign(f"{header}.{_encoded(body)}".encode(), ECDSA(SHA256()))
        raw = b"".join(number.to_bytes(32, "big") for number in decode_dss_signature(signed))
        return f"{header}..{_encoded(raw)}"

    def jwks(self) -> JsonObject:
        """The public key, as a JSON Web Key Set (RFC 7517)."""
        return {"keys": [{**self._public, "kid": self._kid, "alg": ALGORITHM, "use": "sig"}]}


def _private_key(pem: str) -> EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError) as exc:
        raise _unusable("it cannot be read") from exc
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise _unusable("it is of another kind")
    return key


def _public_key(key: EllipticCurvePrivateKey) -> JsonObject:
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
