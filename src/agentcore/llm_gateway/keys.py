"""Virtual API keys: shown once, kept as a hash, revocable."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Collection

from agentcore.kit.clock import Clock
from agentcore.kit.errors import InvalidInput, NotFound
from agentcore.kit.security import API_KEY_PREFIX, SCOPES, Principal, check_name
from agentcore.llm_gateway.store import KeyStore
from agentcore.llm_gateway.terms import ApiKey

# How long another replica may still accept a key after its revocation.
CACHE_SECONDS = 5.0
CACHE_ENTRIES = 10_000
ID_BYTES = 8
SECRET_BYTES = 32


class ApiKeys:
    """A key reads ``ac_<id>_<secret>``; the id finds the row, the secret is compared by hash.

    The secret has 256 random bits: a plain SHA-256 cannot be searched, and costs a microsecond.
    """

    def __init__(self, store: KeyStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._cache: OrderedDict[bytes, tuple[float, Principal | None]] = OrderedDict()
        self._revocations = 0

    async def create(
        self, *, subject: str, tenant: str, scopes: Collection[str], private: bool = False
    ) -> tuple[ApiKey, str]:
        """A new key and its plaintext, which is not kept anywhere.

        Raises:
            InvalidInput: a scope that does not exist.
        """
        unknown = sorted(set(scopes) - set(SCOPES))
        if unknown:
            raise InvalidInput(
                f"unknown scope {unknown[0]!r}", hint=f"scopes are: {', '.join(SCOPES)}"
            )
        check_name("subject", subject)
        check_name("tenant", tenant)
        key = ApiKey(
            key_id=secrets.token_hex(ID_BYTES),
            subject=subject,
            tenant=tenant,
            scopes=frozenset(scopes),
            private=private,
            created_at=self._clock.now(),
        )
        plaintext = f"{API_KEY_PREFIX}{key.key_id}_{secrets.token_urlsafe(SECRET_BYTES)}"
        await self._store.add(key, _digest(plaintext))
        return key, plaintext

    async def find(self, presented: str) -> Principal | None:
        """The owner of a key; None if it is unknown, wrong or revoked."""
        digest = _digest(presented)
        now = self._clock.monotonic()
        cached = self._cache.get(digest)
        if cached is not None and cached[0] > now:
            return cached[1]
        before = self._revocations
        principal = await self._look_up(presented, digest)
        if self._revocations != before:
            # What was read may be of the time before: whoever comes next asks again.
            return principal
        self._cache[digest] = (now + CACHE_SECONDS, principal)
        self._cache.move_to_end(digest)
        if len(self._cache) > CACHE_ENTRIES:
            self._cache.popitem(last=False)
        return principal

    async def list(self, tenant: str) -> list[ApiKey]:
        return await self._store.list(tenant)

    async def revoke(self, key_id: str, *, tenant: str) -> None:
        """At once in this process, within ``CACHE_SECONDS`` in the others.

        Raises:
            NotFound: the tenant has no such key.
        """
        found = await self._store.revoke(key_id, tenant=tenant, at=self._clock.now())
        if not found:
            raise NotFound(f"there is no API key {key_id!r}")
        self._revocations += 1
        self._cache.clear()

    async def _look_up(self, presented: str, digest: bytes) -> Principal | None:
        key_id, _, secret = presented.removeprefix(API_KEY_PREFIX).partition("_")
        if not secret or not presented.startswith(API_KEY_PREFIX) or not key_id.isalnum():
            return None
        found = await self._store.find(key_id)
        if found is None:
            return None
        key, expected = found
        if not hmac.compare_digest(digest, expected) or key.revoked_at is not None:
            return None
        return Principal(
            subject=key.subject,
            tenant=key.tenant,
            scopes=key.scopes,
            private=key.private,
            key_id=key.key_id,
        )


def _digest(presented: str) -> bytes:
    return hashlib.sha256(presented.encode("utf-8", "surrogatepass")).digest()
