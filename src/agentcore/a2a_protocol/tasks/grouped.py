"""The task store of a process in which many tasks are under way at once."""

from __future__ import annotations

from collections.abc import Sequence

from agentcore.a2a_protocol.tasks.store import VersionedTaskStore
from agentcore.a2a_protocol.tasks.writes.store import (
    REFUSED,
    Beginning,
    Change,
    append_all,
    begin_all,
    report_all,
)
from agentcore.kit.batches import Batches
from agentcore.kit.db import Database
from agentcore.kit.supervisor import Supervisor


class GroupedTaskStore(VersionedTaskStore):
    """What is written at the same time goes to the database together."""

    def __init__(self, database: Database, supervisor: Supervisor) -> None:
        super().__init__(database)

        async def begin(items: Sequence[Beginning]) -> dict[str, bool]:
            return dict.fromkeys(await begin_all(database, items), True)

        async def append(items: Sequence[Change]) -> dict[str, bool]:
            return dict.fromkeys(await append_all(database, items), True)

        async def report(task_ids: Sequence[str]) -> dict[str, bool]:
            await report_all(database, task_ids)
            return {}

        self._begins = Batches(
            "begin tasks",
            begin,
            lambda each: each.record.task_id,
            supervisor=supervisor,
            refused=REFUSED,
        )
        self._appends = Batches(
            "write tasks",
            append,
            lambda each: each.record.task_id,
            supervisor=supervisor,
            refused=REFUSED,
        )
        self._reports = Batches("report tasks", report, str, supervisor=supervisor)

    async def begin(self, new: Beginning) -> bool:
        return await self._begins.write(new) or False

    async def append(self, change: Change) -> bool:
        return await self._appends.write(change) or False

    async def reported(self, task_id: str) -> None:
        await self._reports.write(task_id)
