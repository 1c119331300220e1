"""``task.query`` and ``task.cancel`` on the handler that also answers ``GetTask``."""

from __future__ import annotations

from a2a.server.context import ServerCallContext
from a2a.server.request_handlers import RequestHandler
from a2a.types import a2a_pb2 as pb

from agentcore.a2a_protocol.dispatcher import Caller
from agentcore.a2a_protocol.errors import TaskNotFound
from agentcore.a2a_protocol.models.task import TaskQuery
from agentcore.a2a_protocol.sdk.context import call_context
from agentcore.a2a_protocol.sdk.faults import our_errors
from agentcore.a2a_protocol.sdk.values import task_to_json
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.kit.security import Principal


class SdkTasks:
    def __init__(self, handler: RequestHandler) -> None:
        self._handler = handler

    async def get(self, principal: Principal, task_id: str) -> JsonObject:
        request = pb.GetTaskRequest(id=task_id)
        with our_errors():
            found = await self._handler.on_get_task(request, _context(principal))
        return _task(found, task_id)

    async def cancel(self, principal: Principal, task_id: str) -> JsonObject:
        request = pb.CancelTaskRequest(id=task_id)
        with our_errors():
            found = await self._handler.on_cancel_task(request, _context(principal))
        return _task(found, task_id)

    async def page(self, principal: Principal, query: TaskQuery) -> JsonObject:
        request = pb.ListTasksRequest(
            context_id=query.context_id or "",
            page_size=query.limit,
            page_token=query.cursor or "",
            include_artifacts=True,
        )
        if query.state is not None:
            request.status = pb.TaskState.Value(query.state.value)
        with our_errors():
            page = await self._handler.on_list_tasks(request, _context(principal))
        tasks: list[JsonValue] = [task_to_json(task) for task in page.tasks]
        return {
            "tasks": tasks,
            "total": page.total_size,
            "next_cursor": page.next_page_token or None,
        }


def _context(principal: Principal) -> ServerCallContext:
    return call_context(Caller(principal=principal))


def _task(found: pb.Task | None, task_id: str) -> JsonObject:
    if found is None:
        raise TaskNotFound(f"there is no task {task_id!r}")
    return task_to_json(found)
