"""``agent.*``: the registry over JSON-RPC; the internal REST routes take the same parameters."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agentcore.a2a_protocol.agent_lifecycle_manager import AgentLifecycleManager, Promise
from agentcore.a2a_protocol.directory import TenantDirectory
from agentcore.a2a_protocol.discovery import Wish
from agentcore.a2a_protocol.dispatcher import CallContext, MethodRegistry
from agentcore.a2a_protocol.errors import InvalidParams
from agentcore.a2a_protocol.models.agent import AgentRecord, Move
from agentcore.a2a_protocol.models.agent_card import Address, AgentCard, AgentId, Name
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.kit.security import Principal
from agentcore.kit.storable import StorableText

# Who promises to be heard more often than that would only load the database.
SHORTEST_SILENCE, LONGEST_SILENCE = 1.0, 86_400.0


class Params(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RegisterParams(Params):
    """Either the card itself or the address where it is, which the registry then follows."""

    agent_card: AgentCard | None = None
    card_url: Address | None = None
    agent_id: AgentId | None = None
    heartbeat_seconds: float | None = Field(
        None,
        ge=SHORTEST_SILENCE,
        le=LONGEST_SILENCE,
        description="Seconds without a heartbeat after which the agent counts as silent; left out: "
        "it sends none.",
    )
    active: bool = Field(default=True, description="Whether it takes tasks at once.")

    @model_validator(mode="after")
    def _one_card(self) -> RegisterParams:
        if self.agent_card is not None and self.card_url is not None:
            raise ValueError("agent_card and card_url exclude each other")
        return self


class DiscoverParams(Params):
    capabilities: tuple[Name, ...] = Field((), max_length=100)
    skills: tuple[Name, ...] = Field((), max_length=100)
    tags: tuple[Name, ...] = Field((), max_length=100)
    text: StorableText = Field("", max_length=4096)
    include_unhealthy: bool = Field(
        default=False, description="Whether agents are shown that are known not to answer."
    )
    limit: int = Field(20, ge=1, le=100)
    cursor: str | None = Field(None, max_length=4096)


class NamedParams(Params):
    agent_id: StorableText = Field(min_length=1, max_length=1024)


class MoveParams(NamedParams):
    reason: StorableText = Field("", max_length=1024, description="For the agent's log.")


async def registered(
    agents: AgentLifecycleManager, params: RegisterParams, principal: Principal
) -> AgentRecord:
    promise = Promise(active=params.active, heartbeat_seconds=params.heartbeat_seconds)
    if params.agent_card is not None:
        return await agents.register(
            params.agent_card, principal, agent_id=params.agent_id, promise=promise
        )
    if params.card_url is not None:
        return await agents.register_at(
            params.card_url, principal, agent_id=params.agent_id, promise=promise
        )
    raise InvalidParams(
        "agent.register needs the member agent_card or card_url",
        hint="give the card itself, or the address where it can be read",
    )


async def discovered(
    directory: TenantDirectory, params: DiscoverParams, principal: Principal
) -> JsonObject:
    wish = Wish(
        capabilities=params.capabilities,
        skills=params.skills,
        tags=params.tags,
        text=params.text,
    )
    page = await directory.discover(
        wish,
        principal,
        limit=params.limit,
        cursor=params.cursor,
        usable=not params.include_unhealthy,
    )
    found: list[JsonValue] = [
        {**match.agent.summary(), "score": match.score} for match in page.matches
    ]
    return {"agents": found, "next_cursor": page.next_cursor}


async def shown(agents: AgentLifecycleManager, agent_id: str, principal: Principal) -> JsonObject:
    """All that is known of an agent, with the last lines of its log."""
    found = await agents.get(agent_id, principal)
    events: list[JsonValue] = [each.summary() for each in await agents.log(found)]
    return {**found.details(), "events": events}


def register_agent_methods(
    registry: MethodRegistry, agents: AgentLifecycleManager, directory: TenantDirectory
) -> None:
    async def register(params: RegisterParams, context: CallContext) -> JsonValue:
        return (await registered(agents, params, context.principal)).summary()

    async def discover(params: DiscoverParams, context: CallContext) -> JsonValue:
        return await discovered(directory, params, context.principal)

    async def get(params: NamedParams, context: CallContext) -> JsonValue:
        return await shown(agents, params.agent_id, context.principal)

    async def beat(params: NamedParams, context: CallContext) -> JsonValue:
        return (await agents.beat(params.agent_id, context.principal)).summary()

    registry.add("agent.register", RegisterParams, register, scope="a2a")
    registry.add("agent.discover", DiscoverParams, discover, scope="a2a")
    registry.add("agent.get", NamedParams, get, scope="a2a")
    registry.add("agent.heartbeat", NamedParams, beat, scope="a2a")
    for move in Move:
        _add_move(registry, agents, move)


def _add_move(registry: MethodRegistry, agents: AgentLifecycleManager, move: Move) -> None:
    async def moved(params: MoveParams, context: CallContext) -> JsonValue:
        found = await agents.move(params.agent_id, move, context.principal, reason=params.reason)
        return found.summary()

    registry.add(f"agent.{move.value}", MoveParams, moved, scope="a2a")
