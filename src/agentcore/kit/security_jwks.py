"""Tokens of an identity provider, signed by its private keys (RFC 7515, 7517, 7518, 8037).

Which algorithms a key may be used with follows from what the key is, never from what a token says:
a public key is no secret, so nothing here verifies HS256 or `none`. PyJWT and `cryptography` are
loaded when the first provider is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from agentcore.kit.clock import Clock
from agentcore.kit.errors import StartupError, Unavailable
from agentcore.kit.hs256 import NOT_UNDERSTOOD, OWN_HEADER, header_of
from agentcore.kit.jsonvalue import JsonObject, JsonValue, list_of, loads, object_in, objects_of
from agentcore.kit.key_sets import KeySet, KeySource, key_source
from agentcore.kit.security import (
    LONGEST_KEPT_TOKEN,
    MOST_KEPT_TOKENS,
    SERVICE,
    Principal,
    expired,
    invalid_token,
    judged,
)

if TYPE_CHECKING:
    from jwt import PyJWS

# By key type and curve (RFC 7518, section 6; RFC 8037).
KINDS: Mapping[tuple[object, object], frozenset[str]] = {
    ("RSA", None): frozenset({"RS256", "RS384", "RS512", "PS256"}),
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA"}),
}
ALGORITHMS = frozenset().union(*KINDS.values())
# A file may hold private keys by mistake: they are not even looked at.
PUBLIC = ("kty", "crv", "n", "e", "x", "y")
RSA_BITS = range(2048, 8193)
MOST_KEYS = 100
LONGEST_TOKEN = 16 * 1024

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Key:
    """``material`` is whatever PyJWT made of it."""

    kid: str | None
    algorithms: frozenset[str]
    material: Any


class IdentityProvider:
    """Judges tokens that others issued; empty ``issuer`` and ``audience`` ask for nothing."""

    def __init__(
        self, source: KeySource, *, issuer: str = "", audience: str = "", clock: Clock
    ) -> None:
        self._signatures = signature_library()
        self._keys = KeySet(source, verification_keys, clock)
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._judges: Sequence[Key] = ()
        self._accepted: dict[str, tuple[Principal, float]] = {}

    def signs(self, token: str) -> bool:
        """Whether ``token`` says that it is signed as providers do; it proves nothing."""
        if token.startswith(OWN_HEADER):
            return False
        try:
            algorithm = header_of(token).get("alg")
        except ValueError:
            return False
        return isinstance(algorithm, str) and algorithm in ALGORITHMS

    async def verify(self, token: str) -> Principal:
        """Who ``token`` speaks for.

        Raises:
            Unauthenticated: nobody.
            Unavailable: the keys cannot be had now.
        """
        keys = await self._keys.held()
        if keys is not self._judges:
            # What a key vouched for that was withdrawn since is judged anew.
            self._accepted.clear()
            self._judges = keys
        known = self._accepted.get(token)
        if known is None:
            known = await self._judged(token, keys)
            if len(token) <= LONGEST_KEPT_TOKEN:
                if len(self._accepted) >= MOST_KEPT_TOKENS:
                    del self._accepted[next(iter(self._accepted))]
                self._accepted[token] = known
        principal, expiry = known
        if expiry <= self._clock.now().timestamp():
            self._accepted.pop(token, None)
            raise expired()
        return principal

    async def _judged(self, token: str, keys: Sequence[Key]) -> tuple[Principal, float]:
        """Whose it is, and when it expires."""
        if len(token) > LONGEST_TOKEN:
            raise invalid_token(f"it has more than {LONGEST_TOKEN} characters")
        try:
            header = header_of(token)
        except ValueError as exc:
            raise invalid_token(str(exc)) from exc
        if header.keys() & NOT_UNDERSTOOD:
            raise invalid_token("its header asks for more than a signature")
        algorithm = str(header.get("alg"))
        key = await self._key(header.get("kid"), algorithm, keys)
        claims = self._claims(token, key, algorithm)
        self._check_party(claims)
        principal, expiry = judged(claims, self._clock)
        if principal.tenant == SERVICE:
            raise invalid_token(f"the tenant {SERVICE!r} is the service's own")
        return principal, expiry

    async def _key(self, kid: JsonValue, algorithm: str, keys: Sequence[Key]) -> Key:
        if kid is None:
            if len(keys) != 1:
                raise invalid_token(f"it names no key (kid), and its issuer has {len(keys)}")
            named = list(keys)
        elif not isinstance(kid, str):
            raise invalid_token("kid is no text")
        else:
            named = _named(keys, kid) or _named(await self._keys.renewed(), kid)
        if not named:
            raise invalid_token(f"the key {str(kid)[:100]!r} is not one of its issuer's")
        for key in named:
            if algorithm in key.algorithms:
                return key
        raise invalid_token(f"its key is not for {algorithm[:20]!r}")

    def _claims(self, token: str, key: Key, algorithm: str) -> JsonObject:
        from jwt import PyJWTError

        try:
            payload = self._signatures.decode(token, key.material, algorithms=[algorithm])
        except PyJWTError as exc:
            raise invalid_token("its signature does not fit") from exc
        try:
            claims = loads(payload)
        except ValueError as exc:
            raise invalid_token("its claims are no JSON") from exc
        if not isinstance(claims, dict):
            raise invalid_token("its claims are no JSON object")
        return claims

    def _check_party(self, claims: JsonObject) -> None:
        issuer, audience = claims.get("iss"), claims.get("aud")
        if self._issuer and issuer != self._issuer:
            raise invalid_token(f"its issuer (iss) is {_quoted(issuer)}, not {self._issuer!r}")
        if self._audience and self._audience not in [audience, *list_of(audience)]:
            raise invalid_token(f"its audience (aud) is {_quoted(audience)}, not this service")


def identity_provider(
    jwks: str, *, issuer: str, audience: str, clock: Clock
) -> IdentityProvider | None:
    """The provider of the settings; None where there is none. A file is read once for trial.

    Raises:
        StartupError: a place that cannot be, a file without keys, or a library that is missing.
    """
    if not jwks:
        if issuer or audience:
            raise StartupError(
                "security.jwt_issuer or security.jwt_audience is set without security.jwks",
                hint="they are asked of an identity provider's tokens only: set its keys as well",
            )
        return None
    if not audience:
        log.warning(
            "tokens that the identity provider made for other applications are accepted",
            hint="set security.jwt_audience",
        )
    source = key_source(jwks)
    provider = IdentityProvider(source, issuer=issuer, audience=audience, clock=clock)
    if "://" not in jwks:
        try:
            verification_keys(source.read())
        except Unavailable as error:
            raise StartupError(
                f"the file of security.jwks: {error.detail}",
                hint='give a JSON Web Key Set (RFC 7517): {"keys": [...]}',
            ) from error
    return provider


def signature_library() -> PyJWS:
    """Raises ``StartupError`` where it, or what it needs, is not installed."""
    try:
        import cryptography  # noqa: F401 -- PyJWT does without, and then knows no such algorithm
        from jwt import PyJWS
    except ImportError as exc:
        raise StartupError(
            f"AGENTCORE_SECURITY__JWKS needs a library that is not there: {exc.name}",
            hint="pip install 'agentcore[jwks]'",
        ) from exc
    return PyJWS(sorted(ALGORITHMS))


def verification_keys(data: bytes) -> Sequence[Key]:
    """The keys of a JWKS that can verify; others are left out (RFC 7517, section 5).

    Raises:
        Unavailable: there are none, or too many.
    """
    entries = object_in(data).get("keys")
    if not isinstance(entries, list):
        raise Unavailable("it is no JSON object with a list of keys")
    if len(entries) > MOST_KEYS:
        raise Unavailable(f"it has {len(entries)} keys, more than {MOST_KEYS}")
    keys = [key for entry in objects_of(entries) if (key := _key(entry)) is not None]
    if not keys:
        raise Unavailable(
            "it has no key that verifies: RSA (2048 to 8192 bits), P-256, P-384 or Ed25519"
        )
    return keys


def _key(entry: JsonObject) -> Key | None:
    kid, operations = entry.get("kid"), entry.get("key_ops")
    if entry.get("use", "sig") != "sig" or not isinstance(kid, str | None):
        return None
    if operations is not None and "verify" not in list_of(operations):
        return None
    public = {name: entry[name] for name in PUBLIC if name in entry}
    if not all(isinstance(value, str) for value in public.values()):
        return None
    algorithms = KINDS.get((public.get("kty"), public.get("crv")), frozenset())
    if (alone := entry.get("alg")) is not None:
        algorithms &= {str(alone)}
    return Key(kid, algorithms, material) if algorithms and (material := _made(public)) else None


def _made(public: JsonObject) -> Any:
    """None where the numbers make no key, or none to rely on."""
    from jwt import PyJWK, PyJWTError

    try:
        made = PyJWK(public).key
    except PyJWTError:
        return None
    bits = made.key_size if public["kty"] == "RSA" else RSA_BITS[0]
    return made if bits in RSA_BITS else None


def _named(keys: Sequence[Key], kid: str) -> list[Key]:
    return [key for key in keys if key.kid == kid]


def _quoted(value: object) -> str:
    return repr(value)[:200]
