from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count

import pytest

from agentcore.kit.errors import InvalidInput
from agentcore.training.openenv.client import OpenEnvClient
from agentcore.training.openenv.environments.examples.guess_number import GuessNumber
from agentcore.training.openenv.models import (
    Action,
    EnvironmentServerConfig,
    Observation,
    StepResult,
)
from agentcore.training.openenv.playing import EpisodeSession, LocalSession
from agentcore.training.openenv.pool import EnvironmentPool, SessionFailure
from agentcore.training.openenv.server import EnvironmentServer
from tests.fakes.openenv_servers import (
    FULL,
    Drop,
    Hang,
    Reply,
    ScriptedServer,
    observation,
    sent,
    serving,
)

ECHO = Action(type="say", parameters={"message": "x"})
WRONG = Action(type="guess", parameters={"number": "many"})


def guess(number: int) -> Action:
    return Action(type="guess", parameters={"number": number})


def client(url: str) -> OpenEnvClient:
    return OpenEnvClient(url, timeout=20.0, max_retries=1)


def results(found: list[StepResult | SessionFailure | None]) -> list[StepResult]:
    kept = [each for each in found if isinstance(each, StepResult)]
    assert len(kept) == len(found), f"{found}"
    return kept


@pytest.fixture
async def guessing() -> AsyncIterator[str]:
    async with serving(EnvironmentServer("guess_number", GuessNumber)) as url:
        yield url


async def test_sessions_play_their_own_episodes_in_order(guessing: str) -> None:
    async with EnvironmentPool([guessing], 16, open_session=client) as pool:
        firsts = await pool.reset_many(list(range(16)))
        assert all(isinstance(first, Observation) for first in firsts)
        stepped = results(await pool.step_many([guess(50)] * 16))
    alone = []
    for seed in range(16):
        session = LocalSession(GuessNumber())
        await session.reset(seed)
        alone.append((await session.step(guess(50))).observation.state)
    assert [step.observation.state for step in stepped] == alone
    assert len({str(state) for state in alone}) > 1


async def test_one_that_fails_does_not_disturb_the_others() -> None:
    server = ScriptedServer(steps=[observation(1.0), Drop, observation(3.0)])
    async with (
        server.running() as url,
        EnvironmentPool([url], 3, open_session=client) as pool,
    ):
        await pool.reset_many([0, 1, 2])
        found = await pool.step_many([ECHO, ECHO, ECHO])
        lost = [each for each in found if isinstance(each, SessionFailure)]
        assert [failure.code for failure in lost] == ["session_lost"]
        assert lost[0].lost
        assert len([each for each in found if isinstance(each, StepResult)]) == 2
        again = await pool.step_many([ECHO, ECHO, ECHO])
        assert isinstance(again[lost[0].session], SessionFailure), "no silent new environment"
        opened = server.sessions
        assert all(
            isinstance(each, Observation)
            for each in await pool.reset_many([9], sessions=[lost[0].session])
        )
        assert server.sessions == opened + 1, "the lost session was replaced, no other"
        assert len(results(await pool.step_many([ECHO] * 3))) == 3


async def test_a_refused_action_leaves_its_session_where_it_was(guessing: str) -> None:
    async with EnvironmentPool([guessing], 2, open_session=client) as pool:
        await pool.reset_many([0, 1])
        refused, fine = await pool.step_many([WRONG, guess(1)])
        assert isinstance(refused, SessionFailure)
        assert (refused.code, refused.lost) == ("openenv_invalid_action", False)
        assert isinstance(fine, StepResult)
        left, right = await pool.step_many([guess(1), None])
        assert isinstance(left, StepResult)
        assert right is None


async def test_a_pool_spreads_over_replicas_and_leaves_a_dead_one() -> None:
    first, second = ScriptedServer(), ScriptedServer()
    async with second.running() as there:
        async with first.running() as here:
            pool = EnvironmentPool([here, there], 4, open_session=client)
            await pool.reset_many([0, 1, 2, 3])
            assert (first.sessions, second.sessions) == (2, 2)
        found = await pool.step_many([ECHO] * 4)
        assert [isinstance(each, SessionFailure) for each in found] == [True, False, True, False]
        assert all(isinstance(each, Observation) for each in await pool.reset_many([4, 5, 6, 7]))
        assert second.open_sessions == 4
        await pool.close()
    assert second.open_sessions == 0


async def test_where_nobody_answers_there_is_a_record_for_each() -> None:
    async with EnvironmentPool(["http://127.0.0.1:9"], 2, open_session=client) as pool:
        found = await pool.reset_many([0, 1])
        assert [each.code for each in found if isinstance(each, SessionFailure)] == [
            "openenv_unreachable"
        ] * 2
        stepped = await pool.step_many([ECHO, ECHO])
        assert all(isinstance(each, SessionFailure) and each.lost for each in stepped)


async def test_a_full_server_is_a_record(guessing: str) -> None:
    app = EnvironmentServer("g", GuessNumber, config=EnvironmentServerConfig(max_sessions=2))
    async with serving(app) as url, EnvironmentPool([url], 3, open_session=client) as pool:
        found = await pool.reset_many([0, 1, 2])
        failures = [each for each in found if isinstance(each, SessionFailure)]
        assert [each.code for each in failures] == ["capacity_reached"]


async def test_only_so_many_connect_at_once() -> None:
    at_once, most = 0, 0

    class Slow(LocalSession):
        async def reset(self, seed: int | None = None, options: object = None) -> Observation:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0)
            at_once -= 1
            return await super().reset(seed)

    pool = EnvironmentPool(["x"], 9, open_session=lambda _: Slow(GuessNumber()), connecting=2)
    await pool.reset_many(list(range(9)))
    assert most == 2
    await pool.reset_many(list(range(9)))
    assert most == 9, "sessions that are there need no permission"


async def test_all_frames_are_out_before_the_first_answer() -> None:
    """Nobody gets an answer until all 64 have asked: a pool that took turns would hang."""
    together = asyncio.Barrier(64)

    class Meeting(LocalSession):
        async def step(self, action: Action) -> StepResult:
            await together.wait()
            return await super().step(action)

    pool = EnvironmentPool(["x"], 64, open_session=lambda _: Meeting(GuessNumber()))
    await pool.reset_many(list(range(64)))
    async with asyncio.timeout(60):
        assert len(results(await pool.step_many([guess(1)] * 64))) == 64


async def test_autoreset_starts_over_with_the_step_after_the_last() -> None:
    pool = EnvironmentPool(
        ["x"], 2, open_session=lambda _: LocalSession(GuessNumber()), autoreset=count(100)
    )
    await pool.reset_many([0, 1])
    for _ in range(9):
        await pool.step_many([guess(1), guess(1)])
    last = results(await pool.step_many([guess(1), guess(1)]))
    assert [step.truncated for step in last] == [True, True]
    first = results(await pool.step_many([guess(1), guess(1)]))
    assert [step.info for step in first] == [
        {"autoreset": True, "seed": 100},
        {"autoreset": True, "seed": 101},
    ]
    assert [(step.reward, step.done) for step in first] == [(0.0, False)] * 2
    assert not any(step.done for step in results(await pool.step_many([guess(1), guess(1)])))


async def test_without_autoreset_a_finished_episode_takes_no_step() -> None:
    pool = EnvironmentPool(["x"], 1, open_session=lambda _: LocalSession(GuessNumber()))
    await pool.reset_many([0])
    for _ in range(10):
        await pool.step_many([guess(1)])
    (over,) = await pool.step_many([guess(1)])
    assert isinstance(over, SessionFailure)
    assert (over.code, over.lost) == ("episode_over", False)


async def test_cancelled_steps_lose_their_sessions_and_no_other() -> None:
    server = ScriptedServer(steps=[Hang])
    async with server.running() as url, EnvironmentPool([url], 1, open_session=client) as pool:
        await pool.reset_many([0])
        stepping = asyncio.create_task(pool.step_many([ECHO]))
        while len(server.received) < 3:
            await asyncio.sleep(0.001)
        stepping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stepping
        (after,) = await pool.step_many([ECHO])
        assert isinstance(after, SessionFailure)
        assert after.lost
        assert all(isinstance(each, Observation) for each in await pool.reset_many([1]))


async def test_cancelled_before_any_answer_all_of_them_are_given_up() -> None:
    """Also those that nobody awaits yet: their frames are out."""
    server = ScriptedServer(steps=[Hang] * 3)
    async with server.running() as url, EnvironmentPool([url], 3, open_session=client) as pool:
        await pool.reset_many([0, 1, 2])
        stepping = asyncio.create_task(pool.step_many([ECHO] * 3))
        while len(sent(server.received, "step")) < 3:
            await asyncio.sleep(0.001)
        stepping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stepping
        after = await pool.step_many([ECHO] * 3)
        assert all(isinstance(each, SessionFailure) and each.lost for each in after)
        assert all(isinstance(each, Observation) for each in await pool.reset_many([1, 2, 3]))
        assert len(results(await pool.step_many([ECHO] * 3))) == 3


async def test_sessions_of_both_kinds_are_stepped_together(guessing: str) -> None:
    def open_session(url: str) -> EpisodeSession:
        return LocalSession(GuessNumber()) if url == "local" else client(url)

    async with EnvironmentPool([guessing, "local"], 4, open_session=open_session) as pool:
        await pool.reset_many([7, 7, 7, 7])
        stepped = results(await pool.step_many([guess(50)] * 4))
        assert len({str(each.observation.state) for each in stepped}) == 1
        refused, fine, left, wrong = await pool.step_many([WRONG, guess(1), None, WRONG])
        assert [type(each) for each in (refused, fine, left, wrong)] == [
            SessionFailure,
            StepResult,
            type(None),
            SessionFailure,
        ]


async def test_a_session_that_somebody_else_uses_is_waited_for() -> None:
    sessions: list[OpenEnvClient] = []

    def open_session(url: str) -> EpisodeSession:
        sessions.append(client(url))
        return sessions[-1]

    server = ScriptedServer()
    async with (
        server.running() as url,
        EnvironmentPool([url], 2, open_session=open_session) as pool,
    ):
        await pool.reset_many([0, 1])
        coming = sessions[0].begin_step(ECHO)
        assert coming is not None
        stepping = asyncio.create_task(pool.step_many([ECHO, ECHO]))
        while len(sent(server.received, "step")) < 2:
            await asyncio.sleep(0.001)
        assert not stepping.done()
        await sessions[0].finish_step(coming)
        assert len(results(await stepping)) == 2
    assert len(sent(server.received, "step")) == 3


async def test_what_nobody_foresaw_comes_out_and_leaves_no_frame_unanswered(guessing: str) -> None:
    class Broken(LocalSession):
        async def step(self, action: Action) -> StepResult:
            raise ZeroDivisionError

    def open_session(url: str) -> EpisodeSession:
        return Broken(GuessNumber()) if url == "local" else client(url)

    async with EnvironmentPool(["local", guessing], 2, open_session=open_session) as pool:
        await pool.reset_many([0, 0])
        with pytest.raises(ZeroDivisionError):
            await pool.step_many([guess(1), guess(1)])
        _, other = await pool.step_many([None, guess(1)])
        assert isinstance(other, SessionFailure)
        assert other.lost


async def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(InvalidInput):
        EnvironmentPool([], 1, open_session=client)
    pool = EnvironmentPool(["x"], 2, open_session=lambda _: LocalSession(GuessNumber()))
    with pytest.raises(InvalidInput, match="2 sessions were given 1 seeds"):
        await pool.reset_many([0])
    with pytest.raises(InvalidInput, match="2 sessions were given 3 actions"):
        await pool.step_many([None] * 3)


@pytest.mark.parametrize("answer", ["[1]", "{}", FULL])
async def test_a_session_that_was_given_up_is_lost(answer: Reply) -> None:
    server = ScriptedServer(steps=[answer])
    async with server.running() as url, EnvironmentPool([url], 1, open_session=client) as pool:
        await pool.reset_many([0])
        (failure,) = await pool.step_many([ECHO])
        assert isinstance(failure, SessionFailure)
        assert failure.lost


async def test_the_end_of_the_seeds_ends_nobody_elses_episode() -> None:
    pool = EnvironmentPool(
        ["x"], 2, open_session=lambda _: LocalSession(GuessNumber()), autoreset=iter([7])
    )
    await pool.reset_many([0, 1])
    for _ in range(10):
        await pool.step_many([guess(1), guess(1)])
    begun, ended = await pool.step_many([guess(1), guess(1)])
    assert isinstance(begun, StepResult)
    assert isinstance(ended, SessionFailure)
    assert (ended.code, ended.detail) == ("invalid_input", "the seeds of autoreset are used up")
    assert isinstance((await pool.step_many([guess(1), None]))[0], StepResult)


def test_a_pool_in_which_nobody_may_connect_is_refused() -> None:
    with pytest.raises(InvalidInput, match="none ever would"):
        EnvironmentPool(["x"], 2, open_session=client, connecting=0)


@pytest.mark.parametrize("number", [-1, 2])
async def test_a_session_that_is_not_there_is_named(number: int) -> None:
    pool = EnvironmentPool(["x"], 2, open_session=lambda _: LocalSession(GuessNumber()))
    with pytest.raises(InvalidInput, match=f"no session {number}: they are 0 to 1"):
        await pool.reset_many([0], sessions=[number])
