"""The SDK's task store on our rows, and the way to follow a task that another process runs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from datetime import UTC

import structlog
from a2a.server.cluster.event_stream import TaskEventStream, VersionedEvent
from a2a.server.cluster.task_store import (
    ConcurrentTaskModificationError,
    StoredTask,
    VersionedTaskStore,
)
from a2a.server.cluster.version import TaskVersion
from a2a.server.context import ServerCallContext
from a2a.server.events.event_queue import Event
from a2a.types import a2a_pb2 as pb
from a2a.utils.constants import DEFAULT_LIST_TASKS_PAGE_SIZE
from a2a.utils.errors import InternalError, InvalidParamsError

from agentcore.a2a_protocol import cursors
from agentcore.a2a_protocol.errors import InvalidParams
from agentcore.a2a_protocol.models.task import TERMINAL, TaskFilter, TaskRecord, TaskState
from agentcore.a2a_protocol.sdk.context import user_of
from agentcore.a2a_protocol.sdk.values import state_of, task_from_json, task_to_json
from agentcore.a2a_protocol.store import TaskRows, Written
from agentcore.a2a_protocol.task_manager import TaskManager
from agentcore.kit.clock import Clock
from agentcore.kit.errors import AgentCoreError

# Where a task says in its metadata which agent it belongs to; the names of the wire are camelCase.
AGENT_ID = "agentId"

log = structlog.get_logger()


class PostgresTaskStore(VersionedTaskStore):
    """Tasks of the caller's tenant and subject; another's task is not there at all."""

    def __init__(self, rows: TaskRows, manager: TaskManager, clock: Clock) -> None:
        self._rows = rows
        self.manager = manager
        self._clock = clock

    async def save(
        self,
        task: pb.Task,
        *,
        event: Event | None,
        prev: pb.Task | None,
        prev_version: TaskVersion,
        context: ServerCallContext,
    ) -> TaskVersion:
        record = self._record(task, number(prev_version) + 1, context)
        with _accounted(context):
            written = await self._write(record, first=prev_version.is_missing)
        if written is None:
            self.manager.settle(record.task_id)
            raise ConcurrentTaskModificationError(record.task_id)
        user_of(context).unsaved = None
        self.manager.stored(record, written)
        return TaskVersion(written.version)

    async def get(self, task_id: str, context: ServerCallContext) -> StoredTask | None:
        if user_of(context).unsaved == task_id:  # the SDK looks twice before it begins
            return None
        with _accounted(context):
            record = await self._rows.get(task_id, user_of(context).owner)
        if record is None:
            return None
        return StoredTask(task_from_json(record.body), TaskVersion(record.version))

    async def list(
        self, params: pb.ListTasksRequest, context: ServerCallContext
    ) -> pb.ListTasksResponse:
        size = params.page_size or DEFAULT_LIST_TASKS_PAGE_SIZE
        wanted = _filter(params, size + 1)
        with _accounted(context):
            found, total = await self._rows.page(user_of(context).owner, wanted)
        page = found[:size]
        last = page[-1] if len(found) > size else None
        return pb.ListTasksResponse(
            tasks=[task_from_json(record.body) for record in page],
            total_size=total,
            page_size=size,
            next_page_token=cursors.encode_position(last.updated_at, last.task_id) if last else "",
        )

    async def delete(self, task_id: str, context: ServerCallContext) -> None:
        with _accounted(context):
            await self._rows.delete(task_id, user_of(context).owner)

    async def _write(self, record: TaskRecord, *, first: bool) -> Written | None:
        if record.state is TaskState.CANCELED:
            # A cancellation wins over whatever was written meanwhile, but not over an end.
            return await self._rows.cancel(record)
        if not first:
            return await self._rows.update(record)
        inserted = await self._rows.insert(record)
        return Written(version=1, worker=record.lease_owner) if inserted else None

    def _record(self, task: pb.Task, version: int, context: ServerCallContext) -> TaskRecord:
        now = self._clock.now()
        said = task.status.HasField("timestamp")
        record = TaskRecord(
            task_id=task.id,
            owner=user_of(context).owner,
            agent_id=str(dict(task.metadata).get(AGENT_ID, "")),
            context_id=task.context_id,
            state=state_of(task),
            version=version,
            body=task_to_json(task),
            created_at=now,
            updated_at=task.status.timestamp.ToDatetime(UTC) if said else now,
        )
        return self.manager.leased(record)


class RowFollower(TaskEventStream):
    """Follows a task of another process by looking at its row: each new version is an event.

    Nothing is published here: writing the row is what publishes.
    """

    def __init__(self, rows: TaskRows, clock: Clock, seconds: float) -> None:
        self._rows = rows
        self._clock = clock
        self._seconds = seconds

    async def publish(self, task_id: str, event: VersionedEvent) -> None:
        return None

    async def subscribe(
        self, task_id: str, *, after: TaskVersion
    ) -> AsyncGenerator[VersionedEvent, None]:
        seen = number(after)
        while (record := await self._rows.peek(task_id)) is not None:
            if record.version > seen:
                seen = record.version
                yield VersionedEvent(event=task_from_json(record.body), version=TaskVersion(seen))
            if record.state in TERMINAL:
                return
            await self._clock.sleep(self._seconds)

    async def destroy(self, task_id: str) -> None:
        return None


def number(version: TaskVersion) -> int:
    """The count that we have put into ``version``; the SDK never looks at it."""
    value = version._value  # noqa: SLF001 -- the SDK leaves the value to the store, unexposed
    if not isinstance(value, int):
        raise TypeError(f"a task version of {type(value).__name__}")
    return value


@contextmanager
def _accounted(context: ServerCallContext) -> Iterator[None]:
    """The SDK shows the texts of exceptions to callers: give it none but ours."""
    try:
        yield
    except AgentCoreError as error:
        user_of(context).failure = error
        raise InternalError(error.detail) from error
    except Exception as exc:
        log.exception("the task store failed")
        raise InternalError("the service failed to reach its tasks") from exc


def _filter(params: pb.ListTasksRequest, limit: int) -> TaskFilter:
    try:
        after = cursors.decode_position(params.page_token) if params.page_token else None
    except InvalidParams as error:
        raise InvalidParamsError(error.detail) from error
    since = params.HasField("status_timestamp_after")
    return TaskFilter(
        state=TaskState(pb.TaskState.Name(params.status)) if params.status else None,
        context_id=params.context_id or None,
        updated_since=params.status_timestamp_after.ToDatetime(UTC) if since else None,
        after=after,
        limit=limit,
    )
