"""Whether an environment gives episodes, asked of its server and written as a record."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from agentcore.kit.clock import Clock
from agentcore.training.openenv.models import RegistryConfig
from agentcore.training.openenv.ports import Probe
from agentcore.training.openenv.registration.errors import (
    EnvironmentValidationError,
    TokenReferenceInvalid,
)
from agentcore.training.openenv.registration.records import EnvironmentHealth
from agentcore.training.openenv.registration.screening import without_query
from agentcore.training.openenv.tokens import NO_HEADER, fits_a_header

if TYPE_CHECKING:
    from agentcore.training.openenv.deep_health import DeepHealth

# The reference of a secret (env:NAME, file:PATH) in, the secret out.
Secrets = Callable[[str], str]
LONGEST_PAUSE = 3600.0
LONGEST_DETAIL = 500
MORE_BY_VALIDATE = "agentcore env validate URL tells more; --no-validate registers it as it is"


class HealthChecks:
    """A failed check is a record like any other: nothing is raised for it."""

    def __init__(
        self, config: RegistryConfig, probe: Probe, *, secrets: Secrets, clock: Clock
    ) -> None:
        self._config = config
        self._probe = probe
        self._secrets = secrets
        self._clock = clock

    def token(self, token_ref: str | None) -> str:
        """The secret; raises ``TokenReferenceInvalid``."""
        secret = self._secrets(token_ref) if token_ref else ""
        if not fits_a_header(secret):
            raise TokenReferenceInvalid(
                f"the token {token_ref!r} {NO_HEADER}", hint="it is one line of ASCII"
            )
        return secret

    async def check(self, url: str, token: str, before: EnvironmentHealth) -> EnvironmentHealth:
        found = await self._found(url, token)
        if found.status == "failed":
            return self.failed(before, _told(found))
        return self._seen(found, before)

    async def admitted(self, url: str, token: str) -> EnvironmentHealth:
        """Of a server that gives an episode, or is full.

        Raises:
            EnvironmentValidationError: it gives none; ``cause`` is the code of the reason.
        """
        found = await self._found(url, token)
        if found.status == "failed":
            raise EnvironmentValidationError(
                f"{without_query(url)} gives no episode: {_told(found)}",
                hint="; ".join(filter(None, [found.hint, MORE_BY_VALIDATE])),
                stage=found.stage,
                cause=found.code,
            )
        return self._seen(found, EnvironmentHealth())

    async def _found(self, url: str, token: str) -> DeepHealth:
        seconds = self._config.deep_health_seconds
        return await self._probe(without_query(url), token=token or None, seconds=seconds)

    def _seen(self, found: DeepHealth, before: EnvironmentHealth) -> EnvironmentHealth:
        now, info = self._clock.now(), found.info
        return EnvironmentHealth(
            status=found.status,
            detail=found.detail[:LONGEST_DETAIL],
            mode=info.mode if info else before.mode,
            capacity=info.capacity if info else before.capacity,
            checked_at=now,
            last_seen_at=now,
        )

    def failed(self, before: EnvironmentHealth, detail: str) -> EnvironmentHealth:
        return before.model_copy(
            update={
                "status": "failed",
                "detail": detail[:LONGEST_DETAIL],
                "checked_at": self._clock.now(),
                "failures": before.failures + 1,
            }
        )

    def next_check(self, health: EnvironmentHealth) -> datetime:
        """Twice as late after each failure in a row, at most an hour later."""
        usual = self._config.monitor_seconds
        pause = min(usual * 2 ** min(health.failures, 16), max(usual, LONGEST_PAUSE))
        return self._clock.now() + timedelta(seconds=pause)


def _told(found: DeepHealth) -> str:
    return f"{found.stage}: {found.detail or found.code}"[:LONGEST_DETAIL]
