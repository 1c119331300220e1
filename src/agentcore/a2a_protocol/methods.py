"""AgentCore's own methods outside environment sessions: delegation and ``task.*``."""

from __future__ import annotations

from typing import Annotated, Protocol

from pydantic import Field, model_validator

from agentcore.a2a_protocol.agent_methods import Params
from agentcore.a2a_protocol.dispatcher import CallContext, MethodRegistry
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


def register_methods(registry: MethodRegistry, tasks: Tasks) -> None:
    async def query(params: QueryParams, context: CallContext) -> JsonValue:
        if params.task_id is not None:
            return await tasks.get(context.principal, params.task_id)
        return await tasks.page(context.principal, params.filter or TaskQuery())

    async def cancel(params: CancelParams, context: CallContext) -> JsonValue:
        return await tasks.cancel(context.principal, params.task_id)

    registry.add("task.query", QueryParams, query, scope="a2a")
    registry.add("task.cancel", CancelParams, cancel, scope="a2a")
