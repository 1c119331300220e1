"""What the service offers of this package, put together."""

from __future__ import annotations

import os
import platform
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agentcore.kit.clock import Clock
from agentcore.kit.db import Database
from agentcore.kit.ids import Ids
from agentcore.kit.supervisor import Supervisor
from agentcore.training.checkpoint import Checkpoints
from agentcore.training.openenv.errors import OpenEnvConnectionError
from agentcore.training.openenv.inventory import Inventory
from agentcore.training.openenv.models import EnvironmentInfo, SchedulingConfig
from agentcore.training.openenv.playing import OpenSession
from agentcore.training.reward_registry import RewardRegistry, builtin_rewards
from agentcore.training.scheduler import Schedules, TrainingScheduler
from agentcore.training.scheduling.jobs import RolloutJobs
from agentcore.training.scheduling.store import ScheduleStore
from agentcore.training.store import CheckpointStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    checkpoints: Checkpoints
    schedules: Schedules
    rewards: RewardRegistry


class NamedEnvironments:
    """Environments as scheduled rollouts ask for them: by the names that callers use."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory

    async def info(self, name: str) -> EnvironmentInfo:
        found = (await self._inventory.environment(name)).info
        if found is None:
            raise OpenEnvConnectionError(
                f"nobody serves {name} now", hint="deploy it, or wait until it runs"
            )
        return found

    async def sessions(self, name: str, count: int) -> OpenSession:
        served = await self._inventory.served(name)
        clients = [self._inventory.client(served) for _ in range(count)]
        return lambda number: clients[number]


@asynccontextmanager
async def open_training(
    config: SchedulingConfig,
    inventory: Inventory,
    *,
    database: Database,
    supervisor: Supervisor,
    clock: Clock,
    ids: Ids,
) -> AsyncIterator[Training]:
    """The services, and their scheduler under the supervisor.

    On exit the jobs of this process are given back, which needs the database still.
    """
    rewards = builtin_rewards()
    store = ScheduleStore(database, ids)
    jobs = RolloutJobs(NamedEnvironments(inventory), rewards)
    worker = f"{platform.node()}:{os.getpid()}"
    scheduler = TrainingScheduler(config, store, jobs, worker=worker, clock=clock)
    task = supervisor.start("training schedules", scheduler.run)
    try:
        yield Training(
            checkpoints=Checkpoints(CheckpointStore(database), clock=clock, ids=ids),
            schedules=Schedules(store, jobs, ids),
            rewards=rewards,
        )
    finally:
        await supervisor.cancel(task)
