"""The cards that this service shows, by the address they are asked at."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.utils import format_datetime
from typing import Protocol

from agentcore.a2a_protocol.card import CardFacts, agent_card, extended_card, platform_card
from agentcore.a2a_protocol.dispatcher import MethodRegistry
from agentcore.a2a_protocol.errors import AgentNotFound
from agentcore.a2a_protocol.hosting import HostedAgents, Hosting
from agentcore.a2a_protocol.models.agent import AgentRecord
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.kit import jsonvalue
from agentcore.kit.clock import Clock
from agentcore.kit.jsonvalue import JsonObject

MOST_CARDS = 64
ENDPOINT = "/a2a"
AGENTS = f"{ENDPOINT}/agents"
JWKS = "/.well-known/a2a-jwks.json"


class Signer(Protocol):
    def signatures(self, card: JsonObject, jwks_url: str) -> list[JsonObject]: ...

    def detached(self, body: bytes, said: JsonObject) -> str: ...

    def jwks(self) -> JsonObject: ...


@dataclass(frozen=True, slots=True)
class RenderedCard:
    """``modified`` is an HTTP date."""

    body: bytes
    etag: str
    modified: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cards:
    """They follow agents and methods that are added later."""

    config: A2AConfig
    hosted: HostedAgents
    registry: MethodRegistry
    version: str
    auth: bool
    clock: Clock
    signer: Signer | None = None
    made: dict[tuple[object, ...], RenderedCard] = field(default_factory=dict)

    def at(self, base: str, agent_id: str = "") -> RenderedCard:
        """The card of the platform, or of one hosted agent; ``base`` is the service's address.

        Raises:
            AgentNotFound: no agent of that id runs here.
        """
        agent = self._agent(agent_id) if agent_id else None
        hosted, methods = tuple(self.hosted), tuple(self.registry.names())
        key = (base, agent_id, methods, *(hosting.agent_id for hosting in hosted))
        if key not in self.made:
            if len(self.made) >= MOST_CARDS:
                self.made.clear()
            body = jsonvalue.dumps(self._signed(self._card(base, agent), base))
            digest = hashlib.sha256(body).hexdigest()[:32]
            modified = format_datetime(self.clock.now(), usegmt=True)
            self.made[key] = RenderedCard(body, f'"{digest}"', modified)
        return self.made[key]

    def extended(self, base: str, agents: Sequence[AgentRecord]) -> JsonObject:
        """The platform's card with what only the caller's tenant may see."""
        return self._signed(extended_card(self._card(base, None), agents), base)

    def _card(self, base: str, agent: Hosting | None) -> JsonObject:
        facts = CardFacts(
            version=self.version,
            auth=self.auth,
            hosted=tuple(self.hosted),
            methods=self.registry.names(),
        )
        if agent is None:
            return platform_card(self.config, facts, base + ENDPOINT)
        return agent_card(self.config, facts, f"{base}{AGENTS}/{agent.agent_id}", agent)

    def _signed(self, card: JsonObject, base: str) -> JsonObject:
        if self.signer is None:
            return card
        return {**card, "signatures": list(self.signer.signatures(card, base + JWKS))}

    def _agent(self, agent_id: str) -> Hosting:
        found = next((each for each in self.hosted if each.agent_id == agent_id), None)
        if found is None:
            raise AgentNotFound(agent_id)
        return found
