"""Who calls: JSON Web Tokens and API keys become a :class:`Principal` with scopes."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from agentcore.kit.clock import Clock
from agentcore.kit.errors import Forbidden, InvalidInput, StartupError, Unauthenticated
from agentcore.kit.hs256 import sign, verified
from agentcore.kit.jsonvalue import JsonObject, JsonValue

Scope = Literal[
    "a2a",
    "llm",
    "context:read",
    "context:write",
    "env:act",
    "env:control",
    "metrics",
    "admin",
]
SCOPES: tuple[str, ...] = get_args(Scope)
API_KEY_PREFIX = "ac_"
SHORTEST_SECRET = 32
LONGEST_NAME = 128
# Subject and tenant of the tokens that the service issues to itself.
SERVICE = "agentcore"
LONGEST_KEPT_TOKEN = 4096
# A tuple: the claim may be anything that JSON knows.
PLAIN_NO: tuple[JsonValue, ...] = (False, "false", "0", "no", "", None)
MOST_KEPT_TOKENS = 1024
# The clock of an issuer may be ahead of ours: its tokens are good at once.
SKEW_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The authenticated caller; ``tenant`` and ``subject`` decide ownership."""

    subject: str
    tenant: str
    scopes: frozenset[str]
    private: bool = False
    key_id: str | None = None

    @property
    def is_service(self) -> bool:
        """Whether this process calls itself: it answers for many callers and limits each."""
        return self.subject == self.tenant == SERVICE

    def may(self, scope: str) -> bool:
        return scope in self.scopes or "admin" in self.scopes

    def require(self, scope: str) -> None:
        if not self.may(scope):
            raise Forbidden(
                f"the credential of {self.subject!r} lacks the scope {scope!r}",
                hint=f"issue one with: agentcore token --subject {self.subject} --scope {scope}",
            )


# The caller where nobody asks for credentials; a credential makes one that is equal at most.
ANYBODY = Principal(subject="local", tenant="default", scopes=frozenset({"admin"}))


def check_scopes(scopes: Collection[str]) -> None:
    """InvalidInput where one of them does not exist."""
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown:
        raise InvalidInput(f"unknown scope {unknown[0]!r}", hint=f"scopes are: {', '.join(SCOPES)}")


def check_name(what: str, value: str) -> None:
    """Refuse a subject or tenant that ids and rows could not hold.

    Raises:
        InvalidInput: empty, longer than 128 characters, or with characters that do not print.
    """
    if not 0 < len(value) <= LONGEST_NAME or not value.isprintable():
        raise InvalidInput(
            f"the {what} {value[:LONGEST_NAME]!r} cannot be used",
            hint=f"1 to {LONGEST_NAME} printable characters",
        )


class KeyLookup(Protocol):
    """Finds the owner of a presented API key; None when there is none or it is revoked."""

    async def find(self, presented: str) -> Principal | None: ...


class Authenticator(Protocol):
    async def authenticate(self, headers: Mapping[bytes, bytes]) -> Principal: ...


class ForeignTokens(Protocol):
    """Tokens that somebody else issued."""

    def signs(self, token: str) -> bool:
        """Whether ``token`` is theirs to judge, as far as it says."""
        ...

    async def verify(self, token: str) -> Principal: ...


class OpenDoor:
    """``serve --no-auth``: everybody on this loopback address is the administrator."""

    async def authenticate(self, headers: Mapping[bytes, bytes]) -> Principal:
        return ANYBODY


class CredentialAuthenticator:
    """Accepts ``Authorization: Bearer`` (JWT or API key) and ``x-api-key``."""

    def __init__(
        self, tokens: TokenAuthority, keys: KeyLookup, foreign: ForeignTokens | None = None
    ) -> None:
        self._tokens = tokens
        self._keys = keys
        self._foreign = foreign

    async def authenticate(self, headers: Mapping[bytes, bytes]) -> Principal:
        presented = presented_credential(headers)
        if presented.startswith(API_KEY_PREFIX):
            principal = await self._keys.find(presented)
            if principal is None:
                raise Unauthenticated("the API key is unknown or revoked", hint=_HINT)
            return principal
        if self._foreign is not None and self._foreign.signs(presented):
            return await self._foreign.verify(presented)
        return self._tokens.verify(presented)


class TokensOnly:
    """Accepts JWTs alone: for a server without a database of keys."""

    def __init__(self, tokens: TokenAuthority, foreign: ForeignTokens | None = None) -> None:
        self._tokens = tokens
        self._foreign = foreign

    async def authenticate(self, headers: Mapping[bytes, bytes]) -> Principal:
        presented = presented_credential(headers)
        if self._foreign is not None and self._foreign.signs(presented):
            return await self._foreign.verify(presented)
        return self._tokens.verify(presented)


class TokenAuthority:
    """Issues and verifies JWTs (RFC 7519) signed with one shared secret (HS256)."""

    def __init__(self, secret: str, clock: Clock) -> None:
        if len(secret) < SHORTEST_SECRET:
            raise StartupError(
                f"the JWT secret has {len(secret)} characters",
                hint=f"give at least {SHORTEST_SECRET}: python3 -c 'import secrets; "
                "print(secrets.token_urlsafe(48))'",
            )
        self._secret = secret
        self._clock = clock
        self._verified: dict[str, tuple[Principal, float]] = {}

    def issue(
        self, *, subject: str, tenant: str, scopes: Sequence[str], lifetime: timedelta
    ) -> str:
        check_scopes(scopes)
        check_name("subject", subject)
        check_name("tenant", tenant)
        now = self._clock.now()
        claims: JsonObject = {
            "sub": subject,
            "tenant": tenant,
            "scope": " ".join(scopes),
            "iat": int(now.timestamp()),
            "exp": int((now + lifetime).timestamp()),
        }
        return sign(claims, self._secret)

    def verify(self, token: str) -> Principal:
        """Who ``token`` speaks for; one that was verified is remembered while it is valid."""
        known = self._verified.get(token)
        if known is None:
            known = self._judged(token)
            if len(token) <= LONGEST_KEPT_TOKEN:
                if len(self._verified) >= MOST_KEPT_TOKENS:
                    del self._verified[next(iter(self._verified))]
                self._verified[token] = known
        principal, expiry = known
        if expiry <= self._clock.now().timestamp():
            self._verified.pop(token, None)
            raise expired()
        return principal

    def _judged(self, token: str) -> tuple[Principal, float]:
        """Whose it is, and when it expires."""
        try:
            claims = verified(token, self._secret)
        except ValueError as exc:
            raise invalid_token(str(exc)) from exc
        return judged(claims, self._clock)


def judged(claims: JsonObject, clock: Clock) -> tuple[Principal, float]:
    """Whose token has these claims, and when it expires, which is the caller's to compare.

    Raises:
        Unauthenticated: nobody's, or not yet.
    """
    if "nbf" in claims and _moment(claims, "nbf") > clock.now().timestamp() + SKEW_SECONDS:
        raise invalid_token("it is not valid yet (nbf)")
    return _principal(claims), _moment(claims, "exp")


def invalid_token(why: str) -> Unauthenticated:
    return Unauthenticated(f"the token is not valid: {why}", hint=_HINT)


def expired() -> Unauthenticated:
    return Unauthenticated("the token has expired", hint=_HINT)


def _moment(claims: JsonObject, name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid_token(f"{name} is no number")
    return float(value)


def _principal(claims: JsonObject) -> Principal:
    subject, tenant = claims.get("sub"), claims.get("tenant", "default")
    scopes = claims.get("scope", "")
    if not isinstance(subject, str):
        raise invalid_token("sub is no text")
    if not isinstance(tenant, str):
        raise invalid_token("tenant is no text")
    if not isinstance(scopes, str):
        raise invalid_token("scope is no text: names, with blanks between them")
    try:
        check_name("subject", subject)
        check_name("tenant", tenant)
    except InvalidInput as exc:
        raise Unauthenticated(exc.detail, hint=exc.hint) from exc
    return Principal(
        subject=subject,
        tenant=tenant,
        scopes=frozenset(scopes.split()),
        # A typing error must not expose what is private: anything but a plain no is a yes.
        private=claims.get("private") not in PLAIN_NO,
    )


def principal_of(scope: Mapping[str, Any]) -> Principal:
    """The caller of an ASGI request, as the authentication middleware left it."""
    principal = scope.get("state", {}).get("principal")
    if not isinstance(principal, Principal):
        raise Unauthenticated("the request carries no credential", hint=_HINT)
    return principal


def generated_secret(path: Path) -> str:
    """The secret kept at ``path``, made on first use with mode 0600."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            # Linked into place whole: another process must never read half a secret.
            draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
            draft.touch(mode=0o600, exist_ok=False)
            draft.write_text(secrets.token_urlsafe(48))
            with suppress(FileExistsError):
                path.hardlink_to(draft)
            draft.unlink()
        return path.read_text().strip()
    except OSError as exc:
        raise StartupError(
            f"the secret at {path} can neither be read nor made: {exc.strerror}",
            hint="set AGENTCORE_HOME to a directory of your own, or give "
            "AGENTCORE_SECURITY__JWT_SECRET",
        ) from exc


_HINT = "send 'Authorization: Bearer <token>' or 'x-api-key: <key>'; see: agentcore token --help"


def presented_credential(headers: Mapping[bytes, bytes]) -> str:
    """The bearer token or API key of a request.

    Raises:
        Unauthenticated: there is none, or it comes by another scheme.
    """
    authorization = headers.get(b"authorization", b"").decode("latin-1")
    scheme, _, credential = authorization.partition(" ")
    if scheme.lower() == "bearer" and credential.strip():
        return credential.strip()
    if authorization:
        raise Unauthenticated(f"the authorization scheme {scheme!r} is not accepted", hint=_HINT)
    key = headers.get(b"x-api-key", b"").decode("latin-1").strip()
    if not key:
        raise Unauthenticated("the request carries no credential", hint=_HINT)
    return key
