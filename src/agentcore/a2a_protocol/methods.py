"""AgentCore's own methods outside environment sessions: ``agent.*`` and ``task.*``."""

from __future__ import annotations

from typing import Annotated, Protocol

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agentcore.a2a_protocol.agent_lifecycle_manager import AgentLifecycleManager
from agentcore.a2a_protocol.discovery import Wish
from agentcore.a2a_protocol.dispatcher import CallContext, MethodRegistry
from agentcore.a2a_protocol.errors import InvalidParams, SessionRequired
from agentcore.a2a_protocol.models.agent_card import AgentCard, AgentId, Name
from agentcore.a2a_protocol.models.task import TaskQuery
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.kit.security import Principal

TaskId = Annotated[str, Field(min_length=1, max_length=1024)]


class Tasks(Protocol):
    """The tasks that ``GetTask`` and ``CancelTask`` see, in their A2A 1.0 form."""

    async def get(self, principal: Principal, task_id: str) -> JsonObject: ...

    async def cancel(self, principal: Principal, task_id: str) -> JsonObject: ...

    async def page(self, principal: Principal, query: TaskQuery) -> JsonObject:
        """``tasks``, ``total`` and ``next_cursor``."""
        ...


class Params(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RegisterParams(Params):
    agent_card: AgentCard | None = None
    card_url: str | None = None
    agent_id: AgentId | None = None


class DiscoverParams(Params):
    capabilities: tuple[Name, ...] = Field((), max_length=100)
    skills: tuple[Name, ...] = Field((), max_length=100)
    text: str = Field("", max_length=4096)
    limit: int = Field(20, ge=1, le=100)
    cursor: str | None = Field(None, max_length=4096)


class DelegateParams(Params):
    message: JsonValue
    task_id: TaskId | None = None
    target_agent: str | None = None
    capabilities: tuple[Name, ...] = ()


class QueryParams(Params):
    task_id: TaskId | None = None
    filter: TaskQuery | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> QueryParams:
        if self.task_id is not None and self.filter is not None:
            raise ValueError("task_id and filter exclude each other")
        return self


class CancelParams(Params):
    task_id: TaskId


def register_methods(registry: MethodRegistry, agents: AgentLifecycleManager, tasks: Tasks) -> None:
    async def register(params: RegisterParams, context: CallContext) -> JsonValue:
        if params.agent_card is None:
            raise InvalidParams(
                "agent.register needs the member agent_card",
                hint="fetch the card yourself: card_url is not followed by this version",
            )
        agent = await agents.register(
            params.agent_card, context.principal, agent_id=params.agent_id
        )
        return agent.summary()

    async def discover(params: DiscoverParams, context: CallContext) -> JsonValue:
        wish = Wish(capabilities=params.capabilities, skills=params.skills, text=params.text)
        page = await agents.discover(
            wish, context.principal, limit=params.limit, cursor=params.cursor
        )
        found: list[JsonValue] = [
            {**match.agent.summary(), "score": match.score} for match in page.matches
        ]
        return {"agents": found, "next_cursor": page.next_cursor}

    async def delegate(_params: DelegateParams, _context: CallContext) -> JsonValue:
        raise SessionRequired(
            "agent.delegate works inside an environment session",
            hint="pass the session_id of environment.open, or send the message to the agent itself",
        )

    async def query(params: QueryParams, context: CallContext) -> JsonValue:
        if params.task_id is not None:
            return await tasks.get(context.principal, params.task_id)
        return await tasks.page(context.principal, params.filter or TaskQuery())

    async def cancel(params: CancelParams, context: CallContext) -> JsonValue:
        return await tasks.cancel(context.principal, params.task_id)

    registry.add("agent.register", RegisterParams, register, scope="a2a")
    registry.add("agent.discover", DiscoverParams, discover, scope="a2a")
    registry.add("agent.delegate", DelegateParams, delegate, scope="a2a")
    registry.add("task.query", QueryParams, query, scope="a2a")
    registry.add("task.cancel", CancelParams, cancel, scope="a2a")
