"""Signatures of other agents' cards: what of a card is signed by a key that the operator knows."""

from __future__ import annotations

from collections.abc import Callable

from a2a.types import a2a_pb2 as pb
from a2a.utils.signing import SignatureVerificationError, create_signature_verifier
from google.protobuf.json_format import (  # type: ignore[import-untyped]  # ships no types
    MessageToDict,
    ParseDict,
    ParseError,
)

from agentcore.kit.errors import StartupError, Unavailable
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.security_jwks import Key, verification_keys

# Each is tried with each key, and whoever wrote the card may have written as many as fit in.
MOST_SIGNATURES = 8


class KeySetVerifier:
    def __init__(self, keys: str) -> None:
        """``keys`` is a JSON Web Key Set (RFC 7517).

        Raises:
            StartupError: it is none, or has no public key to rely on.
        """
        try:
            found = verification_keys(keys.encode())
        except Unavailable as exc:
            raise _unusable(exc.detail) from exc
        self._verifiers = [_verifier(key) for key in found]

    def signed(self, card: JsonObject) -> JsonObject:
        """What of ``card`` is signed: its members of A2A 1.0, and nothing that was put to it.

        Where the card says that keys were to be had is of no account.

        Raises:
            ValueError: none of the keys has signed it.
        """
        try:
            read = ParseDict(card, pb.AgentCard(), ignore_unknown_fields=True)
        except ParseError as exc:
            raise ValueError("only cards of A2A 1.0 are signed, and this is none") from exc
        if not read.signatures:
            raise ValueError("it is not signed")
        if len(read.signatures) > MOST_SIGNATURES:
            raise ValueError(f"it has more than {MOST_SIGNATURES} signatures")
        if not any(verify(read) for verify in self._verifiers):
            raise ValueError("none of its signatures is by a key that is known for its origin")
        found: JsonObject = MessageToDict(read)
        return found


def _verifier(key: Key) -> Callable[[pb.AgentCard], bool]:
    check = create_signature_verifier(lambda _kid, _jku: key.material, sorted(key.algorithms))

    def verify(card: pb.AgentCard) -> bool:
        try:
            check(card)
        except SignatureVerificationError:
            return False
        return True

    return verify


def _unusable(why: str) -> StartupError:
    return StartupError(
        f"the keys of a trusted origin (a2a.trusted) cannot be used: {why}",
        hint="give the JSON Web Key Set of its agents' public keys, best as file:PATH",
    )
