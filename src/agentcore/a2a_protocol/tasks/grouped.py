"""The task store of a process in which many tasks are under way at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from agentcore.a2a_protocol.tasks.store import VersionedTaskStore
from agentcore.a2a_protocol.tasks.writes.batches import Batches
from agentcore.a2a_protocol.tasks.writes.store import (
    REFUSED,
    Beginning,
    Change,
    append_all,
    begin_all,
)
from agentcore.kit.db import Database
from agentcore.kit.supervisor import Supervisor


class GroupedTaskStore(VersionedTaskStore):
    """What is written at the same time goes to the database together."""

    def __init__(self, database: Database, supervisor: Supervisor) -> None:
        super().__init__(database)

        async def begin(items: Sequence[Beginning]) -> Collection[str]:
            return await begin_all(database, items)

        async def append(items: Sequence[Change]) -> Collection[str]:
            return await append_all(database, items)

        self._begins = Batches(
            begin, lambda each: each.record.task_id, supervisor=supervisor, refused=REFUSED
        )
        self._appends = Batches(
            append, lambda each: each.record.task_id, supervisor=supervisor, refused=REFUSED
        )

    async def begin(self, new: Beginning) -> bool:
        return await self._begins.write(new)

    async def append(self, change: Change) -> bool:
        return await self._appends.write(change)
