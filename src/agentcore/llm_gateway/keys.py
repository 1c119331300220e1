"""Virtual API keys: shown once, kept as a hash, revocable, with terms of their own."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from agentcore.kit.clock import Clock
from agentcore.kit.db import StorageUnavailable
from agentcore.kit.errors import InvalidInput, NotFound, Unauthenticated
from agentcore.kit.security import API_KEY_PREFIX, Principal, check_name, check_scopes
from agentcore.llm_gateway.store import KeyStore
from agentcore.llm_gateway.terms import NO_TERMS, ApiKey, KeyHolder, Terms

# How long another replica may still accept a key after its revocation.
CACHE_SECONDS = 5.0
# How long while the database is away.
OUTAGE_SECONDS = 300.0
# How long calls wait for a database that does not answer, and how long a process then leaves it
# alone where it knows the key.
PATIENCE_SECONDS = 2.0
PAUSE_SECONDS = 5.0
CACHE_ENTRIES = 10_000
ID_BYTES = 8
SECRET_BYTES = 32


class _Known(NamedTuple):
    """What was read of a presented key, and when on the monotonic clock."""

    at: float
    holder: KeyHolder | None
    expires_at: datetime | None = None


class ApiKeys:
    """A key reads ``ac_<id>_<secret>``; the id finds the row, the secret is compared by hash.

    The secret has 256 random bits: a plain SHA-256 cannot be searched, and costs a microsecond.
    """

    def __init__(
        self, store: KeyStore, clock: Clock, *, patience: float = PATIENCE_SECONDS
    ) -> None:
        self._store = store
        self._clock = clock
        self._patience = patience
        # Until when, by the monotonic clock, known keys are not asked for: the database was away.
        self._away_until = 0.0
        self._cache: OrderedDict[bytes, _Known] = OrderedDict()
        # Keys that are being read, until when they have been.
        self._reading: dict[bytes, asyncio.Event] = {}
        self._changes = 0

    async def create(
        self,
        *,
        subject: str,
        tenant: str,
        scopes: Collection[str],
        private: bool = False,
        terms: Terms = NO_TERMS,
        expires_at: datetime | None = None,
        key_id: str = "",
    ) -> tuple[ApiKey, str]:
        """A new key and its plaintext, which is not kept anywhere.

        Raises:
            InvalidInput: a scope that does not exist, or an expiry that is over.
        """
        check_scopes(scopes)
        check_name("subject", subject)
        check_name("tenant", tenant)
        self._check(terms, expires_at)
        key = ApiKey(
            key_id=key_id or new_key_id(),
            subject=subject,
            tenant=tenant,
            scopes=frozenset(scopes),
            private=private,
            created_at=self._clock.now(),
            expires_at=expires_at,
            terms=terms,
        )
        plaintext = f"{API_KEY_PREFIX}{key.key_id}_{secrets.token_urlsafe(SECRET_BYTES)}"
        await self._store.add(key, _digest(plaintext))
        return key, plaintext

    async def find(self, presented: str) -> Principal | None:
        """The owner of a key; None if it is unknown, wrong or revoked.

        Raises:
            Unauthenticated: it has expired.
        """
        digest = _digest(presented)
        now = self._clock.monotonic()
        known = self._cache.get(digest)
        if known is None or known.at + CACHE_SECONDS <= now:
            known = await self._learned(presented, digest, known, now)
        if known.expires_at is not None and self._clock.now() >= known.expires_at:
            raise Unauthenticated(
                f"the API key has expired at {known.expires_at:%Y-%m-%dT%H:%M:%SZ}",
                hint="make another one: agentcore keys create --help",
            )
        return known.holder

    async def page(
        self, tenant: str, *, limit: int, cursor: str
    ) -> tuple[list[ApiKey], str | None]:
        """The tenant's keys in the order of their making, and the next page's cursor."""
        return await self._store.page(tenant, limit=limit, cursor=cursor)

    async def check_known(self, key_id: str, *, tenant: str) -> None:
        """Raises ``NotFound`` where the tenant has no such key, or has it no more."""
        found = await self._store.find(key_id)
        if found is None or found[0].tenant != tenant or found[0].revoked_at is not None:
            raise _no_key(key_id)

    async def change(
        self, key_id: str, *, tenant: str, terms: Terms, expires_at: datetime | None
    ) -> ApiKey:
        """Other terms for a key: at once in this process, within ``CACHE_SECONDS`` in the others.

        Raises:
            NotFound: the tenant has no such key.
        """
        self._check(terms, expires_at)
        changed = await self._store.change(
            key_id, tenant=tenant, terms=terms, expires_at=expires_at
        )
        if changed is None:
            raise _no_key(key_id)
        self._forget()
        return changed

    async def revoke(self, key_id: str, *, tenant: str) -> None:
        """At once in this process, within ``CACHE_SECONDS`` in the others.

        Raises:
            NotFound: the tenant has no such key.
        """
        found = await self._store.revoke(key_id, tenant=tenant, at=self._clock.now())
        if not found:
            raise _no_key(key_id)
        self._forget()

    def _check(self, terms: Terms, expires_at: datetime | None) -> None:
        if expires_at is not None and expires_at <= self._clock.now():
            raise InvalidInput(
                f"the expiry {expires_at:%Y-%m-%dT%H:%M:%SZ} is over", hint="give one to come"
            )
        for pattern in terms.models:
            check_name("model", pattern)

    def _forget(self) -> None:
        self._changes += 1
        self._cache.clear()

    async def _learned(
        self, presented: str, digest: bytes, known: _Known | None, now: float
    ) -> _Known:
        """Whoever presents a key that is being read waits for that; what comes of nothing is asked
        for by each: not one after the other, for each may take as long to fail.
        """
        reading = self._reading.get(digest)
        if reading is not None:
            await reading.wait()
            news = self._cache.get(digest)
            if news is not None and news is not known:
                return news
            return await self._learn(presented, digest, known, self._clock.monotonic())
        read = self._reading[digest] = asyncio.Event()
        try:
            return await self._learn(presented, digest, known, now)
        finally:
            del self._reading[digest]
            read.set()

    async def _learn(
        self, presented: str, digest: bytes, known: _Known | None, now: float
    ) -> _Known:
        before = self._changes
        usable = known is not None and known.at + OUTAGE_SECONDS > now
        if known is not None and usable and now < self._away_until:
            return known
        if self._away_until:
            # One call sees whether it is back, and the others do not wait for that.
            self._away_until = now + PAUSE_SECONDS
        try:
            found = await self._looked_up(presented, digest, now)
        except StorageUnavailable:
            self._away_until = self._clock.monotonic() + PAUSE_SECONDS
            if known is None or not usable:
                raise
            return known
        self._away_until = 0.0
        # What was read may be of the time before a change: then whoever comes next asks again.
        if self._changes == before:
            self._cache[digest] = found
            self._cache.move_to_end(digest)
            if len(self._cache) > CACHE_ENTRIES:
                self._cache.popitem(last=False)
        return found

    async def _looked_up(self, presented: str, digest: bytes, now: float) -> _Known:
        """A database that does not answer is away, too."""
        try:
            async with asyncio.timeout(self._patience):
                return await self._look_up(presented, digest, now)
        except TimeoutError as exc:
            raise StorageUnavailable(
                f"the database has not answered for {self._patience:g} s", hint="try again later"
            ) from exc

    async def _look_up(self, presented: str, digest: bytes, now: float) -> _Known:
        key_id, _, secret = presented.removeprefix(API_KEY_PREFIX).partition("_")
        if not secret or not presented.startswith(API_KEY_PREFIX) or not key_id.isalnum():
            return _Known(now, None)
        found = await self._store.find(key_id)
        if found is None:
            return _Known(now, None)
        key, expected = found
        if not hmac.compare_digest(digest, expected) or key.revoked_at is not None:
            return _Known(now, None)
        holder = KeyHolder(
            subject=key.subject,
            tenant=key.tenant,
            scopes=key.scopes,
            private=key.private,
            key_id=key.key_id,
            terms=key.terms,
        )
        return _Known(now, holder, key.expires_at)


def new_key_id() -> str:
    return secrets.token_hex(ID_BYTES)


def _no_key(key_id: str) -> NotFound:
    return NotFound(f"there is no API key {key_id!r}")


def _digest(presented: str) -> bytes:
    return hashlib.sha256(presented.encode("utf-8", "surrogatepass")).digest()
