"""What stands in for rollouts where the scheduler is tested, and a process that can be killed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

from agentcore.kit.clock import SystemClock
from agentcore.kit.db import open_database
from agentcore.kit.errors import AgentCoreError
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.models import DatabaseConfig
from agentcore.training.models import JobSpec
from agentcore.training.openenv.models import SchedulingConfig
from agentcore.training.scheduler import TrainingScheduler
from agentcore.training.scheduling.store import ScheduleStore


class ScriptedJobs:
    """Remembers what was begun; ``does`` may fail or wait."""

    def __init__(
        self,
        does: Callable[[JobSpec], AgentCoreError | asyncio.Event | None],
        *,
        result: JsonObject | None = None,
    ) -> None:
        self._does = does
        self._result = result
        self.begun: list[JobSpec] = []
        self.cancelled = 0

    async def check(self, job: JobSpec) -> None:
        pass

    async def run(self, job: JobSpec) -> JsonObject:
        self.begun.append(job)
        met = self._does(job)
        if isinstance(met, AgentCoreError):
            raise met
        try:
            await (met.wait() if met is not None else asyncio.sleep(0))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self._result or {"seed": job.seed}


async def hang(url: str, lease_seconds: float) -> None:
    """A worker that begins a job, says so and never ends it."""

    def begin(_: JobSpec) -> asyncio.Event:
        sys.stdout.write("begun\n")
        sys.stdout.flush()
        return asyncio.Event()

    async with open_database(DatabaseConfig(pool_size=2), url) as database:
        config = SchedulingConfig(lease_seconds=lease_seconds, poll_seconds=0.02)
        store = ScheduleStore(database, Ids())
        jobs = ScriptedJobs(begin)
        await TrainingScheduler(config, store, jobs, worker="doomed", clock=SystemClock()).run()


if __name__ == "__main__":
    asyncio.run(hang(sys.argv[1], float(sys.argv[2])))
