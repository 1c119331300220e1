from __future__ import annotations

import pytest

from agentcore.a2a_protocol.dispatcher import Caller, MethodRegistry
from agentcore.a2a_protocol.errors import TaskNotFound
from agentcore.a2a_protocol.methods import register_methods
from agentcore.a2a_protocol.models.task import TaskQuery
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.security import Principal
from tests.fakes.a2a import at, passed, principal

CALLER = Caller(principal=principal())


class TaskShelf:
    """Tasks by id, in the form of the protocol."""

    def __init__(self) -> None:
        self.tasks: dict[str, JsonObject] = {"t1": {"id": "t1"}}
        self.queries: list[TaskQuery] = []

    async def get(self, principal: Principal, task_id: str) -> JsonObject:
        if task_id not in self.tasks:
            raise TaskNotFound(f"there is no task {task_id!r}")
        return self.tasks[task_id]

    async def cancel(self, principal: Principal, task_id: str) -> JsonObject:
        return {**await self.get(principal, task_id), "canceled": True}

    async def page(self, principal: Principal, query: TaskQuery) -> JsonObject:
        self.queries.append(query)
        return {"tasks": list(self.tasks.values()), "total": 1, "next_cursor": None}


@pytest.fixture
def shelf() -> TaskShelf:
    return TaskShelf()


@pytest.fixture
def registry(shelf: TaskShelf) -> MethodRegistry:
    methods = MethodRegistry()
    register_methods(methods, shelf)
    return methods


WRONG: list[tuple[str, JsonObject]] = [
    ("task.query", {"task_id": "t1", "filter": {}}),
    ("task.query", {"filter": {"state": "done"}}),
    ("task.query", {"task_id": 5}),
    ("task.cancel", {}),
]


async def test_wrong_params(registry: MethodRegistry) -> None:
    assert await passed(registry, WRONG, CALLER) == []


async def test_tasks_are_queried_by_id_or_by_filter(
    registry: MethodRegistry, shelf: TaskShelf
) -> None:
    assert await registry.call("task.query", {"task_id": "t1"}, CALLER) == {"id": "t1"}
    page = await registry.call("task.query", {"filter": {"limit": 3}}, CALLER)
    assert at(page, "tasks", 0, "id") == "t1"
    await registry.call("task.query", {}, CALLER)
    assert [query.limit for query in shelf.queries] == [3, 50]
    with pytest.raises(TaskNotFound):
        await registry.call("task.query", {"task_id": "t2"}, CALLER)


async def test_tasks_are_cancelled(registry: MethodRegistry) -> None:
    done = await registry.call("task.cancel", {"task_id": "t1"}, CALLER)
    assert done == {"id": "t1", "canceled": True}
