from __future__ import annotations

import asyncio

import pytest

from agentcore.kit.db import Database
from agentcore.training.openenv.models import RegistryConfig
from agentcore.training.openenv.registration.monitoring import MOST_AT_ONCE, EnvironmentMonitor
from agentcore.training.openenv.registration.records import EnvironmentRecord
from tests.fakes.clock import ManualClock
from tests.fakes.environment_registry import World, spec, world

HEALTHY = {"status": "healthy"}


@pytest.fixture
async def here(database: Database, clock: ManualClock) -> World:
    return world(database, clock)


def monitor(here: World) -> EnvironmentMonitor:
    return EnvironmentMonitor(
        RegistryConfig(),
        here.store,
        check=here.registry.check_record,
        failed=here.registry.check_failed,
        load=here.registry.load,
        clock=here.clock,
    )


async def test_what_is_due_is_checked_and_what_is_not_left_alone(here: World) -> None:
    await here.registry.register(spec("one"), validate=False)
    here.clock.advance(200)
    await here.registry.register(spec("two"), validate=False)
    await here.registry.register(spec("image", url=None, image="x:1"), validate=False)
    assert await monitor(here).round() == 0
    here.clock.advance(101)
    here.probe.found["http://one.example:8000/"] = HEALTHY
    assert await monitor(here).round() == 1
    health = (await here.registry.get("one")).health
    assert (health.status, health.last_seen_at) == ("healthy", here.clock.now())
    assert (await here.registry.get("two")).health.status == "unknown"
    assert [url for url, _ in here.probe.asked] == ["http://one.example:8000/"]


async def test_the_dead_are_asked_less_and_less_often(here: World) -> None:
    await here.registry.register(spec("dead"), validate=False)
    pauses, last = [], 0.0
    for _ in range(3600 * 6 // 60):
        here.clock.advance(60)
        if await monitor(here).round():
            pauses.append(here.clock.monotonic() - last)
            last = here.clock.monotonic()
    assert pauses[:5] == [300, 600, 1200, 2400, 3600]
    assert set(pauses[5:]) == {3600}
    here.probe.found["http://dead.example:8000/"] = HEALTHY
    here.clock.advance(3600)
    assert await monitor(here).round() == 1
    assert (await here.registry.get("dead")).health.failures == 0
    here.clock.advance(301)
    assert await monitor(here).round() == 1


async def test_only_a_few_are_checked_at_once(here: World) -> None:
    for number in range(MOST_AT_ONCE * 2 + 3):
        await here.registry.register(spec(f"e{number}"), validate=False)
    here.clock.advance(301)
    counts = [await monitor(here).round() for _ in range(4)]
    assert counts == [MOST_AT_ONCE, MOST_AT_ONCE, 3, 0]
    assert 1 < here.probe.most_running <= MOST_AT_ONCE


async def test_two_replicas_share_the_work(
    here: World, database: Database, clock: ManualClock
) -> None:
    there = world(database, clock)
    for number in range(10):
        await here.registry.register(spec(f"e{number}"), validate=False)
    here.clock.advance(301)
    counts = await asyncio.gather(*(monitor(each).round() for each in (here, there, here, there)))
    assert sum(counts) == 10
    asked = [url for url, _ in [*here.probe.asked, *there.probe.asked]]
    assert len(asked) == len(set(asked)) == 10


async def test_what_is_deployed_is_checked_soon_and_forgotten_with_it(here: World) -> None:
    await here.registry.register(spec(url=None, image="far:1"))
    here.probe.found["http://far.cluster:8000/"] = HEALTHY
    await here.registry.deploy("far")
    assert await monitor(here).round() == 1
    assert (await here.registry.get("far")).health.status == "healthy"
    await here.registry.undeploy("far")
    assert await monitor(here).round() == 1
    assert (await here.registry.get("far")).health.status == "unknown"
    here.clock.advance(10_000)
    assert await monitor(here).round() == 0


async def test_a_token_that_is_gone_is_a_failed_check(here: World) -> None:
    await here.registry.register(spec(), validate=False, token_ref="env:FAR_TOKEN")
    record = await here.registry.get("far")
    gone = record.model_copy(update={"token_ref": "env:GONE"})
    health = (await here.registry.check_record(gone)).health
    assert (health.status, health.failures) == ("failed", 1)
    assert here.probe.asked == []


async def test_it_runs_until_cancelled_and_loads_what_others_registered(
    here: World, database: Database, clock: ManualClock
) -> None:
    there = world(database, clock)
    here.probe.found["http://far.example:8000/"] = HEALTHY
    async with asyncio.TaskGroup() as group:
        running = group.create_task(monitor(here).run())
        await there.registry.register(spec(), validate=False)
        async with asyncio.timeout(60):
            while not here.probe.asked:
                clock.advance(5)
                await asyncio.sleep(0.01)
            while "far" not in here.registry.environments:
                await asyncio.sleep(0.01)
        running.cancel()


async def test_a_check_that_breaks_off_concerns_one_environment(here: World) -> None:
    for name in ("bad", "good"):
        await here.registry.register(spec(name), validate=False)
        here.probe.found[f"http://{name}.example:8000/"] = HEALTHY

    async def check(record: EnvironmentRecord) -> EnvironmentRecord:
        if record.spec.name == "bad":
            raise TypeError("Recursion limit reached")
        return await here.registry.check_record(record)

    watching = EnvironmentMonitor(
        RegistryConfig(),
        here.store,
        check=check,
        failed=here.registry.check_failed,
        load=here.registry.load,
        clock=here.clock,
    )
    here.clock.advance(301)
    assert await watching.round() == 2
    bad, good = [(await here.registry.get(name)).health for name in ("bad", "good")]
    assert (bad.status, bad.failures, bad.detail) == ("failed", 1, "the check broke off: TypeError")
    assert good.status == "healthy"
    here.clock.advance(301)
    assert await watching.round() == 1


async def test_what_a_database_cannot_hold_is_kept_out_of_it(here: World) -> None:
    await here.registry.register(spec(), validate=False)
    found = {"status": "failed", "detail": "a \x00 b"}
    here.probe.found["http://far.example:8000/"] = found
    await here.registry.check("far")
    assert "\x00" not in (await here.registry.get("far")).health.detail
