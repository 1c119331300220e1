"""JSON Web Tokens signed with a shared secret: HS256 (RFC 7515, 7518, 7519) and nothing else.

Libraries for all of JOSE load `cryptography`, 9 MB, for an HMAC that the standard library has. The
signature is computed before anything of a token is parsed, and always by the one algorithm: no
header chooses another. Text that is not canonical base64url is no signature.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode

from agentcore.kit.jsonvalue import JsonObject, dumps, loads

ALGORITHM = "HS256"
# They change what is signed, or what else must be understood.
NOT_UNDERSTOOD = frozenset({"b64", "crit"})


def sign(claims: JsonObject, secret: str) -> str:
    signed = f"{OWN_HEADER}{_encoded(dumps(claims))}"
    return f"{signed}.{_signature(signed, secret)}"


def header_of(token: str) -> JsonObject:
    """What ``token`` says of itself, which proves nothing.

    Raises:
        ValueError: it is no token.
    """
    return _parsed(token.partition(".")[0])


def verified(token: str, secret: str) -> JsonObject:
    """The claims of ``token``; what they say of time and audience is the caller's to judge.

    Raises:
        ValueError: it was not signed with ``secret``, or is no token; neither is quoted.
    """
    signed, _, signature = token.rpartition(".")
    if not token.isascii() or not hmac.compare_digest(signature, _signature(signed, secret)):
        raise ValueError("its signature does not fit")
    parts = [_parsed(part) for part in signed.split(".")]
    if len(parts) != 2:
        raise ValueError("it has not three parts")
    header, claims = parts
    if header.get("alg") != ALGORITHM or header.keys() & NOT_UNDERSTOOD:
        raise ValueError(f"its header asks for more than {ALGORITHM}")
    return claims


def _signature(signed: str, secret: str) -> str:
    return _encoded(hmac.digest(secret.encode(), signed.encode(), "sha256"))


def _parsed(part: str) -> JsonObject:
    data = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    value = loads(data)
    # The library skips what is not of the alphabet.
    if not isinstance(value, dict) or _encoded(data) != part:
        raise ValueError("a part of it is no JSON object in base64url")
    return value


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


# How tokens begin that were issued here.
OWN_HEADER = _encoded(dumps({"alg": ALGORITHM, "typ": "JWT"})) + "."
