"""Which agents run inside this process, and which of them a message is for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from agentcore.a2a_protocol.errors import InvalidParams, UnsupportedOperation
from agentcore.a2a_protocol.ports import HostedAgent, InboundMessage
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.security import Principal

Reply = Callable[[InboundMessage], Awaitable[str | JsonObject | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosting:
    """A hosted agent under its id; ``skills`` go into the cards as they are.

    ``concurrency`` is how many tasks it works on at once, in one process; 0 sets no limit.
    ``reply`` is asked first, where a message begins something new: what it gives is the whole
    answer, a message and no task. With ``repeats`` a message that comes again begins a task of
    its own again.
    """

    agent_id: str
    agent: HostedAgent
    name: str = ""
    description: str = ""
    skills: tuple[JsonObject, ...] = ()
    concurrency: int = 0
    reply: Reply | None = None
    repeats: bool = False


def tenant_id(agent_id: str, tenant: str) -> str:
    """A hosted agent as one tenant knows it: what it learns from one is not shown to another."""
    return f"{agent_id}.{tenant}"


class HostedAgents:
    """The first agent added answers messages that name none."""

    def __init__(self) -> None:
        self._hosted: dict[str, Hosting] = {}

    def add(self, hosting: Hosting) -> None:
        if hosting.agent_id in self._hosted:
            raise ValueError(f"an agent {hosting.agent_id!r} is hosted already")
        self._hosted[hosting.agent_id] = hosting

    def __iter__(self) -> Iterator[Hosting]:
        return iter(self._hosted.values())

    def __contains__(self, agent_id: object) -> bool:
        return agent_id in self._hosted

    def find(self, agent_id: str) -> Hosting | None:
        return self._hosted.get(agent_id)

    def behind(self, agent_id: str, tenant: str) -> Hosting | None:
        """The hosted agent that answers for ``agent_id``, as the tenant knows it."""
        own = (each for each in self if agent_id == tenant_id(each.agent_id, tenant))
        return next(own, None)

    def reserves(self, agent_id: str, tenant: str) -> bool:
        """Whether the id is a hosted agent's own, or its name in another tenant."""
        return any(
            agent_id == hosting.agent_id
            or (
                agent_id.startswith(f"{hosting.agent_id}.")
                and agent_id != tenant_id(hosting.agent_id, tenant)
            )
            for hosting in self
        )

    def choose(self, named: str) -> Hosting:
        """The agent under ``named``, or the first one when it is empty.

        Raises:
            InvalidParams: no agent of that name runs here.
            UnsupportedOperation: no agent runs here at all.
        """
        if not self._hosted:
            raise UnsupportedOperation(
                "no agent runs in this service", hint="host one: docs/how-to/connect-an-agent.md"
            )
        if not named:
            return next(iter(self._hosted.values()))
        if named not in self._hosted:
            raise InvalidParams(
                f"no agent {named!r} runs in this service",
                hint=f"name one of: {', '.join(self._hosted)}; or leave agent_id and tenant out",
            )
        return self._hosted[named]


class Elsewhere(Protocol):
    """Agents that run elsewhere, hosted here by whoever drives them."""

    async def find(self, agent_id: str, principal: Principal) -> Hosting | None:
        """The agent as the caller may see it; None where there is none."""
        ...


class Addressees:
    """Whom a message is for: an agent of this process, or one that is driven from here."""

    def __init__(self, hosted: HostedAgents, elsewhere: Elsewhere) -> None:
        self._hosted = hosted
        self._elsewhere = elsewhere

    async def choose(self, named: str, principal: Principal) -> Hosting:
        """Raises as ``HostedAgents.choose``."""
        if named and named not in self._hosted:
            found = await self._elsewhere.find(named, principal)
            if found is not None:
                return found
        return self._hosted.choose(named)
