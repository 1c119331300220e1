from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from agentcore.kit.errors import StartupError
from agentcore.training.openenv.environments.catalog import BUNDLED
from agentcore.training.openenv.errors import (
    CapacityReached,
    EnvironmentNotFoundError,
    EnvironmentSessionConflict,
    EnvironmentSessionNotFound,
    OpenEnvConnectionError,
    OpenEnvResetError,
    SessionLimitReached,
)
from agentcore.training.openenv.metrics import OpenEnvMetrics
from agentcore.training.openenv.models import Action
from agentcore.training.openenv.session import EnvironmentSession
from agentcore.training.openenv.sessions import EnvironmentSessions
from tests.fakes.clock import ManualClock
from tests.fakes.environment_sessions import caller, mounted, sessions_at
from tests.fakes.openenv_servers import Hang, ScriptedServer
from tests.fakes.waiting import eventually, in_time

ADA = caller("ada")
BOB = caller("bob")
EVE = caller("ada", "other")


@pytest.fixture(scope="module")
async def envs() -> AsyncIterator[str]:
    async with mounted() as url:
        yield url


async def acting(sessions: EnvironmentSessions, *who: Any) -> EnvironmentSession:
    async with sessions.using(*who) as session:
        return session


async def test_a_bundled_environment_is_reached_over_its_server(
    envs: str, clock: ManualClock
) -> None:
    async with sessions_at(envs, clock) as sessions:
        session = await sessions.open(ADA, "guess_number")
        assert session.info.name == "guess_number"
        assert session.client.base_url == f"{envs}/guess_number"
        await session.client.reset(seed=0)
        assert await acting(sessions, ADA, session.id) is session


async def test_only_the_owner_and_those_it_names_find_a_session(
    envs: str, clock: ManualClock
) -> None:
    async with sessions_at(envs, clock) as sessions:
        own = await sessions.open(ADA, "guess_number")
        shared = await sessions.open(ADA, "guess_number", agents=["bob"])
        assert await acting(sessions, BOB, shared.id) is shared
        messages = set()
        for who, session_id in ((BOB, own.id), (EVE, own.id), (EVE, shared.id), (ADA, "guessed")):
            with pytest.raises(EnvironmentSessionNotFound) as caught:
                await acting(sessions, who, session_id)
            messages.add(caught.value.detail.replace(session_id, "ID"))
        assert len(messages) == 1, "the answer tells whether the session exists"


async def test_only_the_owner_closes(envs: str, clock: ManualClock) -> None:
    async with sessions_at(envs, clock) as sessions:
        session = await sessions.open(ADA, "guess_number", agents=["bob"])
        for who in (BOB, EVE):
            with pytest.raises(EnvironmentSessionNotFound):
                await sessions.close(who, session.id)
        await sessions.close(ADA, session.id)
        assert len(sessions) == 0
        with pytest.raises(EnvironmentSessionNotFound):
            await sessions.close(ADA, session.id)


async def test_what_is_not_configured_cannot_be_opened(envs: str, clock: ManualClock) -> None:
    async with sessions_at(envs, clock) as sessions:
        with pytest.raises(EnvironmentNotFoundError) as caught:
            await sessions.open(ADA, "chess")
        assert "guess_number" in caught.value.hint
        for name in ("guess_number", "chess"):
            with pytest.raises(EnvironmentNotFoundError):
                await sessions.open(ADA, name, url="http://169.254.169.254/")


async def test_a_configured_remote_is_opened_with_its_token(envs: str, clock: ManualClock) -> None:
    server = ScriptedServer()
    async with server.running() as url:
        remote = {"name": "far", "url": url, "token": "theirs"}
        async with sessions_at(envs, clock, environments=[remote]) as sessions:
            session = await sessions.open(ADA, "far", url=url)
            assert session.info.name == "foreign"
            assert (await sessions.inventory.environment("far")).info == session.info
            with pytest.raises(EnvironmentNotFoundError):
                await sessions.open(ADA, "far", url="http://127.0.0.1:9/")
    assert {authorization for _, authorization in server.requested} == {"Bearer theirs"}


@pytest.mark.parametrize(
    "names", [["guess_number"], ["far", "far"]], ids=["hides a bundled one", "twice"]
)
async def test_names_are_unique(names: list[str], clock: ManualClock) -> None:
    remotes = [{"name": name, "url": "http://x"} for name in names]
    with pytest.raises(StartupError, match="twice"):
        async with sessions_at("http://x", clock, environments=remotes):
            pass


async def test_each_caller_has_a_limit(envs: str, clock: ManualClock) -> None:
    async with sessions_at(envs, clock, max_sessions_per_caller=2) as sessions:
        first, _ = [await sessions.open(ADA, "guess_number") for _ in range(2)]
        with pytest.raises(SessionLimitReached, match="'ada' holds 2"):
            await sessions.open(ADA, "guess_number")
        await sessions.open(BOB, "guess_number")
        await sessions.open(EVE, "guess_number")
        await sessions.close(ADA, first.id)
        await sessions.open(ADA, "guess_number")


async def test_all_together_have_a_limit(envs: str, clock: ManualClock) -> None:
    async with sessions_at(envs, clock, max_sessions=2) as sessions:
        opening = [sessions.open(who, "guess_number") for who in (ADA, BOB, EVE)]
        results = await asyncio.gather(*opening, return_exceptions=True)
        refused = [each for each in results if isinstance(each, BaseException)]
        assert [type(each) for each in refused] == [SessionLimitReached]
        assert len(sessions) == 2


async def test_a_session_that_does_not_open_is_not_counted(clock: ManualClock) -> None:
    async with (
        mounted(max_sessions=1) as envs,
        sessions_at(envs, clock, max_sessions_per_caller=2) as sessions,
    ):
        first = await sessions.open(ADA, "guess_number")
        for _ in range(3):
            with pytest.raises(CapacityReached):
                await sessions.open(ADA, "guess_number")
        await sessions.close(ADA, first.id)
        await sessions.open(ADA, "guess_number")


async def test_a_server_that_is_away_is_named(clock: ManualClock) -> None:
    async with sessions_at("http://127.0.0.1:9/envs", clock) as sessions:
        with pytest.raises(OpenEnvConnectionError, match=r"127\.0\.0\.1:9"):
            await sessions.open(ADA, "guess_number")


async def test_idle_sessions_are_closed_and_used_ones_are_not(
    envs: str, clock: ManualClock
) -> None:
    async with sessions_at(envs, clock, idle_seconds=40) as sessions:
        idle, used, busy = [await sessions.open(ADA, "guess_number") for _ in range(3)]
        reaping = asyncio.create_task(sessions.reap())
        async with sessions.using(ADA, busy.id):
            for _ in range(6):
                await asyncio.sleep(0)
                clock.advance(10)
                await acting(sessions, ADA, used.id)
            await eventually(lambda: len(sessions) == 2)
        with pytest.raises(EnvironmentSessionNotFound):
            await acting(sessions, ADA, idle.id)
        assert await acting(sessions, ADA, busy.id) is busy
        reaping.cancel()


async def test_leaving_closes_all(envs: str, clock: ManualClock) -> None:
    server = ScriptedServer()
    async with server.running() as url:
        remote = {"name": "far", "url": url}
        async with sessions_at(envs, clock, environments=[remote]) as sessions:
            for _ in range(5):
                await sessions.open(ADA, "far")
            assert server.open_sessions == 5
        await eventually(lambda: server.open_sessions == 0)


async def test_closing_waits_for_nobody_who_hangs(envs: str, clock: ManualClock) -> None:
    server = ScriptedServer(resets=[Hang])
    async with server.running() as url:
        remote = {"name": "far", "url": url}
        config: dict[str, Any] = {"environments": [remote], "step_seconds": 0.1}
        async with sessions_at(envs, clock, **config) as sessions:
            session = await sessions.open(ADA, "far")
            hanging = asyncio.create_task(session.client.reset())
            await asyncio.sleep(0.01)
            async with asyncio.timeout(20):
                await sessions.close(ADA, session.id)
            with pytest.raises(Exception, match="no answer to reset"):
                await hanging


async def test_the_list_asks_no_foreign_server(envs: str, clock: ManualClock) -> None:
    remote = {"name": "far", "url": "http://127.0.0.1:9/"}
    async with sessions_at(envs, clock, environments=[remote]) as sessions:
        entries = {entry.name: entry for entry in await sessions.inventory.environments()}
        assert list(entries) == sorted([*BUNDLED, "far"])
        assert entries["far"].info is None
        assert entries["far"].url == "http://127.0.0.1:9/"
        assert entries["guess_number"].info is not None
        with pytest.raises(OpenEnvConnectionError):
            await sessions.inventory.environment("far")
        with pytest.raises(EnvironmentNotFoundError):
            await sessions.inventory.environment("chess")


async def test_the_same_open_again_is_the_same_session(envs: str, clock: ManualClock) -> None:
    async with sessions_at(envs, clock) as sessions:

        async def again(**more: Any) -> EnvironmentSession:
            return await sessions.open(ADA, "guess_number", session_id="s", seed=3, **more)

        first, second = await asyncio.gather(again(), again())
        assert first is second
        await first.step(Action(type="guess", parameters={"number": 1}))
        assert await again() is first
        assert first.episodes == 1, "the second open began another episode"
        assert len(sessions) == 1
        with pytest.raises(EnvironmentSessionConflict):
            await again(agents=["bob"])
        await sessions.close(ADA, "s")
        assert await again() is not first


async def test_an_open_that_fails_can_be_repeated(envs: str, clock: ManualClock) -> None:
    async def repeat(step_seconds: float) -> None:
        async with ScriptedServer(resets=[Hang]).running() as url:
            config: dict[str, Any] = {"environments": [{"name": "far", "url": url}]}
            async with sessions_at(envs, clock, step_seconds=step_seconds, **config) as sessions:
                opening = [sessions.open(ADA, "far", session_id="s", seed=1) for _ in range(2)]
                failed, opened = await asyncio.gather(*opening, return_exceptions=True)
                assert isinstance(failed, OpenEnvResetError)
                assert isinstance(opened, EnvironmentSession)
                assert len(sessions) == 1

    await in_time(repeat, 0.2)


async def test_names_of_others_neither_collide_nor_show(envs: str, clock: ManualClock) -> None:
    async with sessions_at(envs, clock) as sessions:
        own = [await sessions.open(who, "guess_number", session_id="s") for who in (ADA, BOB, EVE)]
        assert len({session.id for session in own}) == 3
        for who, session in zip((ADA, BOB, EVE), own, strict=True):
            assert await acting(sessions, who, "s") is session
        # An id that is somebody else's is free to be chosen, and tells nothing.
        taken = await sessions.open(BOB, "guess_number", session_id=own[0].id)
        assert await acting(sessions, BOB, own[0].id) is taken
        assert await acting(sessions, ADA, own[0].id) is own[0]
        await sessions.close(BOB, "s")
        assert await acting(sessions, ADA, "s") is own[0]


async def test_own_sessions_are_listed_by_pages(envs: str, clock: ManualClock) -> None:
    async with sessions_at(envs, clock) as sessions:
        for who, name in ((ADA, "1"), (BOB, "x"), (ADA, "2"), (EVE, "y"), (ADA, "3")):
            await sessions.open(who, "guess_number", session_id=name, agents=["ada"])
        seen: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = sessions.page(ADA, limit=2, cursor=cursor)
            seen += [view.session_id for view in page.sessions]
            cursor = page.next_cursor
        assert seen == ["1", "2", "3"]


async def test_refusals_for_want_of_room_are_counted(
    clock: ManualClock, registry: CollectorRegistry
) -> None:
    metrics = OpenEnvMetrics(registry, ["guess_number"])
    async with (
        mounted(max_sessions=1) as envs,
        sessions_at(
            envs, clock, watch=lambda served: metrics.watch(served.name, "client")
        ) as sessions,
    ):
        await sessions.open(ADA, "guess_number")
        with pytest.raises(CapacityReached):
            await sessions.open(ADA, "guess_number")
        labels = {"environment": "guess_number", "side": "client"}
        assert registry.get_sample_value("openenv_capacity_refusals_total", labels) == 1
        assert registry.get_sample_value("openenv_sessions", labels) == 1


async def test_the_limits_of_the_service_count_as_refusals(
    envs: str, clock: ManualClock, registry: CollectorRegistry
) -> None:
    metrics = OpenEnvMetrics(registry, ["guess_number"])
    async with sessions_at(
        envs, clock, watch=lambda served: metrics.watch(served.name, "client"), max_sessions=1
    ) as sessions:
        await sessions.open(ADA, "guess_number")
        with pytest.raises(SessionLimitReached):
            await sessions.open(BOB, "guess_number")
    labels = {"environment": "guess_number", "side": "client"}
    assert registry.get_sample_value("openenv_capacity_refusals_total", labels) == 1


async def test_the_first_observation_is_kept_while_its_episode_lasts(
    envs: str, clock: ManualClock
) -> None:
    async with sessions_at(envs, clock) as sessions:
        session = await sessions.open(ADA, "guess_number", session_id="s", seed=3)
        assert session.first is not None
        await session.reset(4)
        again = await sessions.open(ADA, "guess_number", session_id="s", seed=3)
        assert again is session
        assert again.first is None
