"""Reading the cards of agents elsewhere: small, plain, from where it may be read, or refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import ValidationError

from agentcore.a2a_protocol.errors import CardNotSigned, CardUnreadable, InvalidParams
from agentcore.a2a_protocol.late import load_verifier
from agentcore.a2a_protocol.models.agent_card import AgentCard
from agentcore.a2a_protocol.models.remote import TrustedOrigin
from agentcore.a2a_protocol.push.targets import PRIVATE, fault_in
from agentcore.a2a_protocol.remote.addresses import trust_in
from agentcore.kit import jsonvalue
from agentcore.kit.jsonvalue import JsonObject

WELL_KNOWN = "/.well-known/agent-card.json"


@dataclass(frozen=True, slots=True)
class ReadCard:
    """A card as it was found at ``url``; none where it is still the one of the ``etag``."""

    url: str
    etag: str
    card: AgentCard | None


class CardReader:
    """Redirects are not followed: they lead to addresses that nobody has checked.

    The operator's ``trusted`` places may be inside, and nothing else but ``anywhere``.
    """

    def __init__(self, *, anywhere: bool, trusted: Sequence[TrustedOrigin] = ()) -> None:
        """Raises ``StartupError`` where the keys of a trusted place are none."""
        self._anywhere = anywhere
        self._trusted = tuple(trusted)
        self._verifiers = {
            place: load_verifier(keys)
            for place in trusted
            if (keys := place.keys.get_secret_value())
        }

    async def read(self, url: str, *, tenant: str, etag: str = "") -> ReadCard:
        """The card at ``url``, of an agent of that tenant.

        Raises:
            InvalidParams: the address is none, or may not be connected to.
            CardUnreadable: nothing answers there, or what answers is no card, or not signed.
        """
        anywhere = self._anywhere or trust_in(url, tenant, self._trusted).inside
        if fault := fault_in(url, anywhere=anywhere):
            raise _refused(url, fault)
        from agentcore.a2a_protocol.registry.fetching import fetch  # noqa: PLC0415 - aiohttp

        # One that is still the same may have been taken before there were keys.
        found = await fetch(url, anywhere=anywhere, etag="" if self._verifiers else etag)
        if found is None:
            raise _refused(url, PRIVATE)
        card = None if found.same else parse(url, found.body)
        return ReadCard(url, found.etag, card and self.checked(card, url, tenant=tenant))

    def checked(self, card: AgentCard, *places: str, tenant: str) -> AgentCard:
        """The card, or what of it is signed, where agents at one of its addresses have to sign.

        ``places`` are further addresses that it has to do with.

        Raises:
            CardNotSigned: none of the keys that the operator has set has signed it.
        """
        if not self._verifiers:
            return card
        for url in (*places, *card.addresses()):
            verifier = self._verifiers.get(trust_in(url, tenant, self._trusted))
            if verifier is not None:
                try:
                    card = _validated(url, verifier.signed(_document(card)))
                except ValueError as exc:
                    raise CardNotSigned(url, str(exc)) from exc
        return card

    def standing(self, card: JsonObject, *places: str, tenant: str) -> JsonObject:
        """As :meth:`checked`, of a card that was registered, perhaps before there were keys."""
        if not self._verifiers:
            return card
        return _document(self.checked(AgentCard.model_validate(card), *places, tenant=tenant))

    async def read_first(self, urls: tuple[str, ...], *, tenant: str) -> ReadCard:
        """The first of several addresses that has a card; the fault of the first, if none has."""
        fault: CardUnreadable | None = None
        for url in urls:
            try:
                return await self.read(url, tenant=tenant)
            except CardUnreadable as error:
                fault = fault or error
        raise fault or CardUnreadable("", "the agent has no address")


def _refused(url: str, why: str) -> InvalidParams:
    return InvalidParams(
        f"{url[:120]!r} cannot be the address of an agent: {why}",
        hint="agents are at public addresses; a2a.trusted (inside) and "
        "AGENTCORE_A2A__AGENTS_ANYWHERE allow others",
    )


def places(endpoint: str) -> tuple[str, ...]:
    """Where the card of an agent at ``endpoint`` is looked for: below it, and at its host.

    An endpoint that is no URL of HTTP has no such place.
    """
    try:
        parsed = urlsplit(endpoint)
    except ValueError:
        return ()
    if parsed.scheme not in {"http", "https"} or not parsed.netloc:
        return ()
    host = f"{parsed.scheme}://{parsed.netloc}"
    below = f"{host}{parsed.path.rstrip('/')}{WELL_KNOWN}"
    return tuple(dict.fromkeys((below, host + WELL_KNOWN)))


def parse(url: str, body: bytes) -> AgentCard:
    try:
        document = jsonvalue.loads(body)
    except ValueError as exc:
        raise CardUnreadable(url, f"it is not JSON: {exc}") from exc
    if not isinstance(document, dict):
        raise CardUnreadable(url, "a card is a JSON object")
    return _validated(url, document)


def _document(card: AgentCard) -> JsonObject:
    """The card as it came."""
    dumped: JsonObject = card.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return dumped


def _validated(url: str, document: JsonObject) -> AgentCard:
    try:
        return AgentCard.model_validate(document)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"]) or "the card"
        raise CardUnreadable(url, f"{where}: {first['msg']}") from exc
