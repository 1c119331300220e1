"""Virtual keys, and what their calls may do beyond their scopes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import NamedTuple

from agentcore.kit.security import Principal


class Terms(NamedTuple):
    """``models`` are globs of served names, none of them: every model. ``ceiling`` is the place of
    the highest priority that calls may have among all, 0 the highest of all.
    """

    models: tuple[str, ...] = ()
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    ceiling: int = 0

    @property
    def unmetered(self) -> bool:
        return self.requests_per_minute is None and self.tokens_per_minute is None

    def allow(self, model: str) -> bool:
        return not self.models or _matches(self.models, model)


NO_TERMS = Terms()


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A virtual key without its secret, which nobody can read again."""

    key_id: str
    subject: str
    tenant: str
    scopes: frozenset[str]
    private: bool
    created_at: datetime
    revoked_at: datetime | None = None
    expires_at: datetime | None = None
    terms: Terms = NO_TERMS


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyHolder(Principal):
    """A caller with a virtual key."""

    terms: Terms = NO_TERMS


def terms_of(principal: Principal) -> Terms:
    """What holds for a caller's calls; a token has no terms of its own."""
    return principal.terms if isinstance(principal, KeyHolder) else NO_TERMS


@lru_cache(4096)
def _matches(patterns: tuple[str, ...], model: str) -> bool:
    return any(fnmatchcase(model, pattern) for pattern in patterns)
