from __future__ import annotations

import asyncio

import pytest

from agentcore.kit.clock import SystemClock
from agentcore.kit.db import Database
from agentcore.kit.ids import Ids
from agentcore.kit.supervisor import Supervisor
from agentcore.training.models import JobSpec, Once, Schedule, ScheduleDraft
from agentcore.training.openenv.environments.examples.guess_number import GuessNumber
from agentcore.training.openenv.errors import EnvironmentNotFoundError, OpenEnvConnectionError
from agentcore.training.openenv.inventory import Inventory
from agentcore.training.openenv.models import EnvironmentEntry, SchedulingConfig, TrainingConfig
from agentcore.training.openenv.registration.errors import EnvironmentNotServed
from agentcore.training.services import NamedEnvironments, open_training
from tests.fakes.environment_sessions import NOTHING, NothingRegistered, mounted


class Undeployed(NothingRegistered):
    async def find(self, reference: str) -> None:
        raise EnvironmentNotServed(reference)

    async def entry(self, reference: str) -> EnvironmentEntry | None:
        return EnvironmentEntry(name=reference, source="remote")


def inventory(base_url: str, registered: NothingRegistered = NOTHING) -> Inventory:
    return Inventory(
        TrainingConfig(),
        bundled={"guess_number": GuessNumber},
        registered=registered,
        base_url=lambda: base_url,
        token=lambda: "",
        clock=SystemClock(),
    )


async def test_jobs_play_what_callers_can_open() -> None:
    async with mounted() as url:
        source = NamedEnvironments(inventory(url))
        assert (await source.info("guess_number")).name == "guess_number"
        sessions = await source.sessions("guess_number", 2)
        for number in (0, 1):
            assert (await sessions(number).reset(1)).state == {"hint": "start"}
            await sessions(number).close()
    with pytest.raises(EnvironmentNotFoundError):
        await source.info("chess")


async def test_a_scheduled_rollout_runs_under_the_supervisor(
    database: Database, supervisor: Supervisor, ids: Ids
) -> None:
    async with (
        mounted() as url,
        open_training(
            SchedulingConfig(poll_seconds=0.02),
            inventory(url),
            database=database,
            supervisor=supervisor,
            clock=SystemClock(),
            ids=ids,
        ) as training,
    ):

        async def status(schedule: Schedule) -> str:
            page = await training.schedules.jobs("t", schedule.id, limit=1, before=None)
            return page.jobs[0].status if page.jobs else ""

        job = JobSpec(environment="guess_number", policy="reference", episodes=3)
        draft = ScheduleDraft(name="n", job=job, timing=Once())
        short = await training.schedules.add("t", draft)
        async with asyncio.timeout(20):
            while await status(short) != "done":
                await asyncio.sleep(0.02)
        assert supervisor.health()["training schedules"].alive
        endless = job.model_copy(update={"policy": "random", "episodes": 10_000})
        long = await training.schedules.add(
            "t", ScheduleDraft(name="n", job=endless, timing=Once())
        )
        async with asyncio.timeout(20):
            while await status(long) != "running":
                await asyncio.sleep(0.02)
    (job_left,) = (await training.schedules.jobs("t", long.id, limit=1, before=None)).jobs
    assert (job_left.status, job_left.attempts[0].outcome) == ("queued", "released")


async def test_an_environment_that_nobody_serves_may_be_tried_later() -> None:
    source = NamedEnvironments(inventory("http://127.0.0.1:9", Undeployed()))
    with pytest.raises(OpenEnvConnectionError, match="nobody serves far") as caught:
        await source.info("far")
    assert caught.value.retryable
