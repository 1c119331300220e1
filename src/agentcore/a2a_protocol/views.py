"""Tasks as callers see them: the specification's methods, ``task.*`` and REST share these."""

from __future__ import annotations

from datetime import datetime

from agentcore.a2a_protocol import cursors
from agentcore.a2a_protocol.errors import InvalidParams
from agentcore.a2a_protocol.models.task import Owner, TaskFilter, TaskQuery, TaskState
from agentcore.a2a_protocol.task_manager import TaskManager
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.kit.security import Principal

DEFAULT_PAGE, LARGEST_PAGE = 50, 100
UNSPECIFIED = "TASK_STATE_UNSPECIFIED"


def owner_of(principal: Principal) -> Owner:
    return Owner(tenant=principal.tenant, subject=principal.subject)


class TaskViews:
    """``task.query`` and ``task.cancel``, on the tasks that ``GetTask`` also answers with."""

    def __init__(self, manager: TaskManager) -> None:
        self._manager = manager

    async def get(self, principal: Principal, task_id: str) -> JsonObject:
        return await self._manager.get(owner_of(principal), task_id)

    async def cancel(self, principal: Principal, task_id: str) -> JsonObject:
        return await self._manager.cancel(owner_of(principal), task_id)

    async def page(self, principal: Principal, query: TaskQuery) -> JsonObject:
        wanted = TaskFilter(
            state=query.state,
            context_id=query.context_id or None,
            after=cursors.decode_position(query.cursor) if query.cursor else None,
            limit=query.limit,
        )
        tasks, total, cursor = await paged(self._manager, owner_of(principal), wanted)
        return {"tasks": tasks, "total": total, "next_cursor": cursor or None}


async def paged(
    manager: TaskManager, owner: Owner, wanted: TaskFilter
) -> tuple[list[JsonValue], int, str]:
    """The tasks of a page, how many there are in all, and the token of the next page."""
    page = await manager.page(owner, wanted)
    token = ""
    if page.more:
        last = page.tasks[-1].record
        token = cursors.encode_position(last.updated_at, last.task_id)
    tasks: list[JsonValue] = [
        stored.snapshot.rendered(history=wanted.history, artifacts=wanted.artifacts)
        for stored in page.tasks
    ]
    return tasks, page.total, token


def listing(request: JsonObject, agent: str) -> TaskFilter:
    """What ``ListTasks`` asks for.

    Raises:
        InvalidParams: a size out of bounds, a time that is none, a token that is not ours.
    """
    size = request.get("pageSize", DEFAULT_PAGE)
    if not isinstance(size, int) or not 1 <= size <= LARGEST_PAGE:
        raise InvalidParams(f"pageSize is {size}, and has to be between 1 and {LARGEST_PAGE}")
    token, state = request.get("pageToken"), request.get("status", UNSPECIFIED)
    return TaskFilter(
        state=None if state == UNSPECIFIED else TaskState(str(state)),
        context_id=str(request["contextId"]) if request.get("contextId") else None,
        agent_id=agent or None,
        updated_since=_moment(request.get("statusTimestampAfter")),
        after=cursors.decode_position(str(token)) if token else None,
        limit=size,
        history=history_of(request),
        artifacts=request.get("includeArtifacts") is True,
    )


def history_of(request: JsonObject) -> int | None:
    """How many messages of a task's past are asked for; None for all."""
    length = request.get("historyLength")
    if length is None:
        return None
    if not isinstance(length, int) or length < 0:
        raise InvalidParams(f"historyLength is {length}, and cannot be negative")
    return length


def _moment(value: JsonValue) -> datetime | None:
    if value is None:
        return None
    try:
        return datetime.fromisoformat(str(value))
    except ValueError as exc:
        raise InvalidParams(f"statusTimestampAfter is no time: {str(value)[:40]!r}") from exc
