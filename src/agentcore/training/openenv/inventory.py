"""The environments that callers may open, and the way to each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from pydantic import AnyHttpUrl, SecretStr

from agentcore.kit.clock import Clock
from agentcore.kit.errors import StartupError
from agentcore.training.openenv.environments.catalog import EnvironmentFactory
from agentcore.training.openenv.errors import EnvironmentNotFoundError
from agentcore.training.openenv.models import (
    EnvironmentEntry,
    EnvironmentPage,
    RemoteEnvironment,
    TrainingConfig,
)
from agentcore.training.openenv.ports import RegisteredEnvironments
from agentcore.training.openenv.registration.errors import EnvironmentNotServed
from agentcore.training.openenv.registration.screening import presentable

# The client, with its HTTP and WebSocket libraries, is loaded when the first session opens.
if TYPE_CHECKING:
    from agentcore.training.openenv.client import OpenEnvClient


class Inventory:
    """Bundled environments, servers of the settings, and what the registry knows.

    Bundled environments are reached as every other: over the WebSocket of the server mounted at
    ``base_url()/{name}``, with ``token()`` as credential.
    """

    def __init__(
        self,
        config: TrainingConfig,
        *,
        bundled: Mapping[str, EnvironmentFactory],
        registered: RegisteredEnvironments,
        base_url: Callable[[], str],
        token: Callable[[], str],
        clock: Clock,
    ) -> None:
        names = [*bundled, *(remote.name for remote in config.environments)]
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise StartupError(
                f"the environment name {twice[0]!r} is given twice",
                hint="rename the entry of training.environments",
            )
        self._config = config
        self._bundled = bundled
        self._remote = {remote.name: remote for remote in config.environments}
        self._registered = registered
        self._base_url = base_url
        self._token = token
        self._clock = clock

    async def environments(self) -> list[EnvironmentEntry]:
        """What can be opened, by name; servers of others are not asked."""
        registered = await self._registered.entries()
        deployed = {entry.name: entry for entry in registered if entry.source == "bundled"}
        bundled = [
            deployed.get(name, EnvironmentEntry(name=name, source="bundled")).model_copy(
                update={"info": factory().info()}
            )
            for name, factory in self._bundled.items()
        ]
        remote = [
            EnvironmentEntry(name=remote.name, source="remote", url=presentable(str(remote.url)))
            for remote in self._remote.values()
        ]
        found = (entry for entry in registered if entry.source != "bundled")
        return sorted([*bundled, *remote, *found], key=_place)

    async def listed(self, *, limit: int, cursor: str) -> EnvironmentPage:
        """A page of them; a cursor is the ``next_cursor`` of the page before."""
        name, _, id_ = cursor.partition(" ")
        rest = [entry for entry in await self.environments() if _place(entry) > (name, id_)]
        shown = tuple(rest[:limit])
        more = len(rest) > limit
        next_cursor = " ".join(_place(shown[-1])).rstrip() if more else None
        return EnvironmentPage(environments=shown, next_cursor=next_cursor)

    async def environment(self, name: str) -> EnvironmentEntry:
        """One environment; the server of a remote one is asked what it is."""
        entry = EnvironmentEntry(name=name, source="remote")
        if name not in self._remote:
            entry = await self._registered.entry(name) or entry
        try:
            remote = await self._elsewhere(name)
        except EnvironmentNotServed:
            return entry
        if remote is None:
            if name not in self._bundled:
                raise self._unknown(name)
            return EnvironmentEntry(name=name, source="bundled", info=self._bundled[name]().info())
        from agentcore.training.openenv.describing import bearer, describe

        url = presentable(str(remote.url))
        info = await describe(
            url.rstrip("/"),
            headers=bearer(remote.token.get_secret_value()),
            seconds=self._config.connect_seconds,
        )
        return entry.model_copy(update={"url": url, "info": info})

    async def _elsewhere(self, environment: str) -> RemoteEnvironment | None:
        """The server of an environment that this process does not serve itself.

        What is configured wins over what is registered, and that over what is bundled: a bundled
        environment is registered only while it is deployed.
        """
        configured = self._remote.get(environment)
        return configured or await self._registered.find(environment)

    async def served(self, environment: str, url: str | None = None) -> RemoteEnvironment:
        """Where ``environment`` is played, under the name that it has whatever it was asked for by.

        Raises:
            EnvironmentNotFoundError: there is none, or not at ``url``.
            AmbiguousEnvironment, EnvironmentNotServed, TokenReferenceInvalid
        """
        remote = await self._elsewhere(environment)
        if url is not None and not _names(remote, url):
            raise EnvironmentNotFoundError(
                f"no environment {environment!r} is configured or registered at this url",
                hint="agentcore env register adds one",
            )
        if remote is not None:
            return remote
        if environment not in self._bundled:
            raise self._unknown(environment)
        here = f"{self._base_url().rstrip('/')}/{environment}"
        return RemoteEnvironment(
            name=environment, url=AnyHttpUrl(here), token=SecretStr(self._token())
        )

    def client(self, served: RemoteEnvironment) -> OpenEnvClient:
        from agentcore.training.openenv.client import OpenEnvClient

        return OpenEnvClient(
            str(served.url),
            timeout=self._config.step_seconds,
            max_retries=self._config.connect_attempts,
            token=served.token.get_secret_value(),
            connect_timeout=self._config.connect_seconds,
            clock=self._clock,
        )

    def _unknown(self, name: str) -> EnvironmentNotFoundError:
        known = ", ".join(sorted({*self._bundled, *self._remote}))
        return EnvironmentNotFoundError(
            f"there is no environment {name!r}", hint=f"one of: {known}"
        )


def _place(entry: EnvironmentEntry) -> tuple[str, str]:
    """Where it stands in lists: names may be those of several registered environments."""
    return entry.name, "" if entry.id is None or entry.source == "bundled" else str(entry.id)


def _names(remote: RemoteEnvironment | None, url: str) -> bool:
    """Whether ``url`` is its address, as it was given or as callers are shown it."""
    return remote is not None and url.rstrip("/") in {
        each.rstrip("/") for each in (str(remote.url), presentable(str(remote.url)))
    }
