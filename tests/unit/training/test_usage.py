"""What is played on deployments, counted over processes in a real database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry

from agentcore.kit.db import CommitUnknown, Database, TransientFault
from agentcore.training.openenv.metrics import UNWATCHED, OpenEnvMetrics
from agentcore.training.openenv.models import Action, RemoteEnvironment
from agentcore.training.openenv.registration.store import DeploymentStore
from agentcore.training.openenv.registration.usage import DeploymentUsage
from agentcore.training.openenv.specs import Played
from tests.fakes.clock import ManualClock
from tests.fakes.environment_registry import spec, world
from tests.fakes.environment_sessions import caller, mounted, sessions_at
from tests.fakes.usage import Written

FAR = RemoteEnvironment.model_validate({"name": "far", "url": "http://far.cluster:8000"})
AT = ("far", "http://far.cluster:8000")


def play(usage: DeploymentUsage, clock: ManualClock, seconds: float, *, steps: int = 2) -> None:
    """One episode."""
    session = usage.watch(FAR, UNWATCHED).opened()
    session.reset(0.0)
    clock.advance(seconds)
    for number in range(steps):
        session.stepped(0.0, 1.0, done=number == steps - 1)
    session.closed()


async def test_a_session_on_a_deployment_is_counted(
    database: Database, clock: ManualClock, registry: CollectorRegistry
) -> None:
    metrics = OpenEnvMetrics(registry, [])
    here = world(database, clock)
    store = DeploymentStore(database, "agentcore")
    usage = DeploymentUsage(store, clock)
    async with mounted() as url:
        mine = spec("mine", url=None, image="mine:1", source_id="mine")
        await here.registry.register(mine)
        await here.registry.deploy("mine")
        deployed = await store.get("mine")
        assert deployed is not None
        # The simulated runtime runs nothing: this is where it is.
        await store.put(deployed.model_copy(update={"url": f"{url}/guess_number"}))
        async with sessions_at(
            url,
            clock,
            registered=here.registry,
            watch=lambda served: usage.watch(served, metrics.watch(served.name, "client")),
        ) as held:
            elsewhere = await held.open(caller(), "guess_number", seed=1)
            session = await held.open(caller(), "manual:mine@", seed=7)
            clock.advance(3.0)
            for number in range(1, 101):
                played = await session.step(Action(type="guess", parameters={"number": number}))
                if played.done:
                    break
            await elsewhere.step(Action(type="guess", parameters={"number": 1}))
            await usage.write()
            found = await here.registry.get_metrics("mine")
            assert found.request_count == 1 + session.steps
            assert found.avg_episode_duration == 3.0
            assert await store.played("mine") == Played(1 + session.steps, 1, 3.0)
            assert await store.played("guess_number") is None
    # Under its own name, whatever it was asked for by.
    labels = {"environment": "mine", "side": "client"}
    assert registry.get_sample_value("openenv_episode_length_steps_count", labels) == 1


async def test_replicas_add_up_while_it_is_deployed(database: Database, clock: ManualClock) -> None:
    here = world(database, clock)
    store = DeploymentStore(database, "agentcore")
    await here.registry.register(spec(image="far:1"), validate=False)
    await here.registry.deploy("far")
    replicas = [DeploymentUsage(DeploymentStore(database, "agentcore"), clock) for _ in range(4)]
    for seconds, replica in enumerate(replicas):
        play(replica, clock, float(seconds))
    async with asyncio.TaskGroup() as group:
        for replica in replicas:
            group.create_task(replica.write())
    assert await store.played("far") == Played(12, 4, 6.0)
    # Deploying it again is the same deployment; another installation's is none of it.
    await here.registry.deploy("far", replicas=2)
    await DeploymentStore(database, "other").add_played({AT: Played(1, 1, 1.0)})
    await store.add_played({("far", "http://elsewhere:8000"): Played(1, 1, 1.0)})
    metrics = await here.registry.get_metrics("far")
    assert (metrics.request_count, metrics.avg_episode_duration) == (12, 1.5)
    await here.registry.undeploy("far")
    await here.registry.deploy("far")
    metrics = await here.registry.get_metrics("far")
    assert (metrics.request_count, metrics.avg_episode_duration) == (0, None)


async def test_what_was_not_written_is_kept_and_what_may_stand_is_not(clock: ManualClock) -> None:
    written = Written([TransientFault("away"), asyncio.CancelledError(), CommitUnknown("broke")])
    usage = DeploymentUsage(written, clock)
    await usage.write()
    play(usage, clock, 1.0)
    with pytest.raises(TransientFault):
        await usage.write()
    play(usage, clock, 2.0)
    with pytest.raises(asyncio.CancelledError):
        await usage.write()
    with pytest.raises(CommitUnknown):
        await usage.write()
    play(usage, clock, 4.0, steps=5)
    await usage.close()
    await usage.close()
    assert written.batches == [{AT: Played(6, 1, 4.0)}]
    written.faults.append(TransientFault("away"))
    play(usage, clock, 8.0)
    await usage.close()
    await usage.close()
    assert written.batches[1:] == [{AT: Played(3, 1, 8.0)}]


async def test_only_episodes_that_end_have_a_duration(clock: ManualClock) -> None:
    written = Written()
    usage = DeploymentUsage(written, clock)
    session = usage.watch(FAR, UNWATCHED).opened()
    session.reset(0.5)
    session.stepped(0.0, 0.0, done=False)
    session.lost()
    # A step behind the end, as foreign servers allow.
    session.stepped(0.0, 0.0, done=True)
    clock.advance(1.0)
    session.reset(0.5)
    clock.advance(1.0)
    session.stepped(0.0, 0.0, done=True)
    session.stepped(0.0, 0.0, done=True)
    session.closed()
    await usage.write()
    assert written.batches == [{AT: Played(6, 1, 1.5)}]


async def test_it_writes_by_itself(clock: ManualClock) -> None:
    written = Written()
    usage = DeploymentUsage(written, clock)
    play(usage, clock, 1.0)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(usage.run())
        while not written.batches:
            await asyncio.sleep(0)
            clock.advance(1.0)
        task.cancel()
    assert written.batches == [{AT: Played(3, 1, 1.0)}]


async def test_who_else_watches_is_told_all(clock: ManualClock) -> None:
    usage = DeploymentUsage(Written(), clock)
    told: list[str] = []

    class Beside:
        def opened(self) -> Beside:
            told.append("opened")
            return self

        def refused(self) -> None:
            told.append("refused")

        def left_running(self) -> Callable[[], None]:
            told.append("left running")
            return self.lost

        def reset(self, seconds: float) -> None:
            told.append(f"reset {seconds}")

        def stepped(self, seconds: float, reward: float, *, done: bool) -> None:
            told.append(f"stepped {seconds} {reward} {done}")

        def lost(self) -> None:
            told.append("lost")

        def closed(self) -> None:
            told.append("closed")

    watch = usage.watch(FAR, Beside())
    watch.refused()
    watch.left_running()
    session = watch.opened()
    session.reset(1.0)
    session.stepped(2.0, 3.0, done=True)
    session.lost()
    session.closed()
    assert told[:2] == ["refused", "left running"]
    assert told[2:] == ["opened", "reset 1.0", "stepped 2.0 3.0 True", "lost", "closed"]
