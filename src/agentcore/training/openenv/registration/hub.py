"""Environments on the Hugging Face Hub: Spaces with the tag ``openenv``.

Only the Hub is asked; the servers that its Spaces run are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread
from pydantic import AnyHttpUrl, ValidationError

from agentcore.kit.clock import Clock
from agentcore.kit.errors import first_line
from agentcore.kit.resilience import retry
from agentcore.training.openenv.models import HubConfig
from agentcore.training.openenv.registration.errors import (
    HubError,
    HubNotInstalled,
    HubRateLimited,
    HubUnavailable,
)
from agentcore.training.openenv.registration.naming import name_from
from agentcore.training.openenv.registration.records import BadEntry
from agentcore.training.openenv.specs import EnvironmentSpec

if TYPE_CHECKING:
    from huggingface_hub import SpaceInfo
    from huggingface_hub.hf_api import ExpandSpaceProperty_T

    from agentcore.training.openenv.registration.hub_http import Patience

TAG = "openenv"
SPACES_DOMAIN = "hf.space"
IMAGE_REGISTRY = "registry.hf.space"
SUBDOMAIN = re.compile(r"[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*")
# What a spec is made of. ``expand`` excludes ``full``, which would list every file of a Space.
FIELDS: list[ExpandSpaceProperty_T] = [
    "author",
    "cardData",
    "runtime",
    "sdk",
    "sha",
    "subdomain",
    "tags",
    "lastModified",
]
LONGEST_DESCRIPTION = 500
ATTEMPTS = 3
LONGEST_WAIT = 5.0
# A process that stops waits for its threads, and a thread that reads cannot be woken.
REQUEST_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HubListing:
    """Specs of the Spaces that can be used, and why the others cannot."""

    specs: tuple[EnvironmentSpec, ...]
    skipped: tuple[BadEntry, ...] = ()


class HuggingFaceHubClient:
    def __init__(self, config: HubConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock

    async def list_environments(
        self, *, tags: Sequence[str] = (), author: str | None = None
    ) -> HubListing:
        """All Spaces with the tag ``openenv`` and ``tags``, of ``author`` if given.

        Raises:
            HubNotInstalled, HubUnavailable, HubUnauthorized, HubRateLimited, HubError
        """
        from agentcore.training.openenv.registration.hub_http import Patience

        seconds = self._config.seconds
        patience = Patience(min(seconds, REQUEST_SECONDS))

        async def once() -> HubListing:
            return await to_thread.run_sync(
                lambda: self._list(tags, author, patience), abandon_on_cancel=True
            )

        try:
            with anyio.fail_after(seconds):
                return await retry(
                    once,
                    on=(HubUnavailable, HubRateLimited),
                    attempts=ATTEMPTS,
                    cap=LONGEST_WAIT,
                    clock=self._clock,
                )
        except TimeoutError as exc:
            raise HubUnavailable(
                f"the Hub at {self._endpoint} did not list its Spaces within {seconds:g} s",
                hint="narrow the search by tags or author, or raise training.registry.hub.seconds",
            ) from exc
        finally:
            patience.over = True

    @property
    def _endpoint(self) -> str:
        return str(self._config.endpoint).rstrip("/")

    def _list(self, tags: Sequence[str], author: str | None, ours: Patience) -> HubListing:
        """In a thread: the library is synchronous and pages as it is iterated."""
        from agentcore.training.openenv.registration.hub_http import ImpatientClient, patience

        try:
            from huggingface_hub import HfApi, get_session, set_client_factory
        except ImportError as exc:
            raise HubNotInstalled(
                "discovering environments needs huggingface_hub",
                hint="pip install 'agentcore[hub]'",
            ) from exc
        usual = get_session()
        if not isinstance(usual, ImpatientClient):
            hooks = usual.event_hooks
            set_client_factory(
                lambda: ImpatientClient(event_hooks=hooks, follow_redirects=True, timeout=None)
            )
        patience.set(ours)
        # False, not None: a token that is saved on this machine was not given to this service.
        token = self._config.token.get_secret_value() or False
        spaces = HfApi(endpoint=self._endpoint, token=token).list_spaces(
            filter=[TAG, *tags], author=author, expand=FIELDS
        )
        try:
            return _listing(spaces)
        except OSError as exc:
            raise HubUnavailable(first_line(exc), hint="unset HF_HUB_OFFLINE") from exc
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise HubError(
                f"{self._endpoint} does not answer as the Hub does: {first_line(exc)}",
                hint="check training.registry.hub.endpoint",
            ) from exc


def _listing(spaces: Iterable[SpaceInfo]) -> HubListing:
    specs: list[EnvironmentSpec] = []
    skipped: list[BadEntry] = []
    for space in spaces:
        try:
            specs.append(spec_of(space))
        except ValueError as exc:
            skipped.append(BadEntry(path=str(space.id), detail=_reason(exc)))
    return HubListing(specs=tuple(specs), skipped=tuple(skipped))


def spec_of(space: SpaceInfo) -> EnvironmentSpec:
    """The spec that a Space's metadata come to.

    Raises:
        ValueError: without a revision, a subdomain or a usable name there is no environment.
    """
    if not space.sha:
        raise ValueError("it has no revision")
    if not space.subdomain:
        raise ValueError("it has no address")
    if SUBDOMAIN.fullmatch(space.subdomain) is None:
        # It becomes an address, where credentials or another host could be written.
        raise ValueError("its subdomain is no name of a host")
    card = space.card_data
    # What the front matter of a page comes to is its author's: a list, a number, or no card.
    about = getattr(card, "short_description", None) or getattr(card, "title", None) or ""
    licence = getattr(card, "license", None)
    return EnvironmentSpec(
        name=name_from(space.id.rpartition("/")[2]),
        version=space.sha[:12],
        url=AnyHttpUrl(f"https://{space.subdomain}.{SPACES_DOMAIN}"),
        description=str(about)[:LONGEST_DESCRIPTION],
        tags=tuple(str(tag) for tag in space.tags or ()),
        author=space.author or space.id.partition("/")[0],
        license=licence if isinstance(licence, str) else None,
        image=f"{IMAGE_REGISTRY}/{space.subdomain}:latest",
        source="hub",
        source_id=space.id,
        revision=space.sha,
    )


def _reason(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        fault = error.errors(include_url=False)[0]
        return f"{'.'.join(str(step) for step in fault['loc'])}: {fault['msg']}"
    return str(error)
