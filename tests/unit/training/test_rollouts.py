from __future__ import annotations

import asyncio
import itertools
import math
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcore.kit.errors import InvalidInput
from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.errors import TrainingError
from agentcore.training.models import Episode, Transition
from agentcore.training.openenv.environments.examples.guess_number import GuessNumber
from agentcore.training.openenv.environments.policies import POLICIES
from agentcore.training.openenv.models import Action, Observation, StepResult
from agentcore.training.openenv.playing import LocalSession, local_sessions, remote_sessions
from agentcore.training.rollouts import Progress, RolloutPlan, rollout
from tests.fakes.clock import ManualClock
from tests.fakes.openenv_servers import Drop, ScriptedServer, observation

PLAYERS = POLICIES["guess_number"]
GUESSING = local_sessions(GuessNumber)
ECHO = Action(type="say", parameters={"message": "x"})


class Echo:
    def act(self, observation: JsonObject) -> Action:
        return ECHO


class Thinking:
    """Waits before it acts, as a model does."""

    def __init__(self, seed: int) -> None:
        self._player = PLAYERS.reference(seed)
        self._pause = Random(seed).randint(0, 5)

    async def act(self, observation: JsonObject) -> Action:
        for _ in range(self._pause):
            await asyncio.sleep(0)
        return self._player.act(observation)


def outcome(episode: Episode) -> tuple[object, ...]:
    return episode.index, episode.seed, episode.rewards, episode.terminated, episode.truncated


@settings(max_examples=15, deadline=None)
@given(concurrency=st.integers(1, 6), episodes=st.integers(1, 12), seed=st.integers(0, 1000))
async def test_the_order_and_the_results_do_not_depend_on_concurrency(
    concurrency: int, episodes: int, seed: int
) -> None:
    alone = await rollout(PLAYERS.reference, GUESSING, episodes, seed)
    together = await rollout(
        Thinking, GUESSING, episodes, seed, plan=RolloutPlan(concurrency=concurrency)
    )
    assert [outcome(each) for each in alone.episodes] == [
        outcome(each) for each in together.episodes
    ]
    assert [each.seed for each in alone.episodes] == list(range(seed, seed + episodes))
    assert not alone.failures


async def test_transitions_chain_from_the_first_observation_to_the_last() -> None:
    plan = RolloutPlan(keep_transitions=True)
    (episode,) = (await rollout(PLAYERS.reference, GUESSING, 1, [42], plan=plan)).episodes
    steps = episode.transitions
    assert steps[0].observation == {"hint": "start"}
    assert [step.reward for step in steps] == list(episode.rewards)
    for before, after in itertools.pairwise(steps):
        assert after.observation == before.next_observation
    assert steps[-1].terminated
    assert episode.length == len(steps) == len(episode.step_seconds)


async def test_a_failing_server_fails_its_episode_and_no_other() -> None:
    server = ScriptedServer(
        steps=[
            observation(1.0),
            observation(1.0, done=True),
            observation(0.5),
            Drop,
            observation(2.0, done=True),
        ]
    )
    async with server.running() as url:
        found = await rollout(lambda _: Echo(), remote_sessions(url), 3)
    assert [each.rewards for each in found.episodes] == [(1.0, 1.0), (0.5,), (2.0,)]
    assert [each.complete for each in found.episodes] == [True, False, True]
    (failed,) = found.failures
    assert failed.failure is not None
    assert (failed.failure.phase, failed.failure.code) == ("step", "session_lost")
    assert server.open_sessions == 0, "the player gives its session back"


async def test_a_server_that_is_not_there_is_a_failure_of_each_episode() -> None:
    class Gone(LocalSession):
        async def reset(self, seed: int | None = None, options: object = None) -> Observation:
            raise TrainingError("nobody there")

    found = await rollout(PLAYERS.random, lambda _: Gone(GuessNumber()), 2)
    assert [each.failure.phase for each in found.episodes if each.failure] == ["reset", "reset"]
    assert [each.length for each in found.episodes] == [0, 0]


async def test_a_policy_that_fails_is_a_record_of_its_own_kind() -> None:
    class Wild:
        def __init__(self, seed: int) -> None:
            self._seed = seed

        def act(self, observation: JsonObject) -> Action:
            if self._seed == 1:
                raise KeyError("hint")
            return "guess 5" if self._seed == 2 else PLAYERS.random(0).act(observation)  # type: ignore[return-value]  # what a careless policy does

    def make(seed: int) -> Wild:
        if seed == 3:
            raise OSError("no model")
        return Wild(seed)

    found = await rollout(make, GUESSING, 4)
    failures = [each.failure for each in found.episodes]
    assert failures[0] is None
    assert [(f.phase, f.code) for f in failures if f] == [("policy", "policy_failed")] * 3
    assert [f.detail for f in failures if f] == [
        "the policy failed: KeyError: 'hint'",
        "the policy returned str, not an Action",
        "no player for seed 3: OSError: no model",
    ]


async def test_a_limit_on_this_side_truncates() -> None:
    plan = RolloutPlan(max_steps=2)
    found = await rollout(lambda _: PLAYERS.naive(0), GUESSING, 5, plan=plan)
    assert all(each.length <= 2 for each in found.episodes)
    assert any(each.truncated and not each.terminated for each in found.episodes)


async def test_the_deadline_cuts_off_what_plays_and_begins_nothing_new() -> None:
    class Stuck(LocalSession):
        async def step(self, action: Action) -> StepResult:
            if self.steps == 2:
                await asyncio.Event().wait()
            self.steps += 1
            return await super().step(action)

        steps = 0

    plan = RolloutPlan(deadline=0.05)
    wrong = Action(type="guess", parameters={"number": 1})

    class Stubborn:
        def act(self, observation: JsonObject) -> Action:
            return wrong

    found = await rollout(lambda _: Stubborn(), lambda _: Stuck(GuessNumber()), 3, plan=plan)
    assert [each.failure.phase for each in found.episodes if each.failure] == ["deadline"] * 3
    assert [each.length for each in found.episodes] == [2, 0, 0]


async def test_rewards_are_shaped_beside_the_environments_own() -> None:
    def punctual(transition: Transition) -> float:
        return transition.reward - 1.0

    (episode,) = (
        await rollout(PLAYERS.reference, GUESSING, 1, plan=RolloutPlan(reward=punctual))
    ).episodes
    assert episode.shaped == tuple(reward - 1.0 for reward in episode.rewards)
    assert episode.reward == pytest.approx(sum(episode.rewards) - episode.length)

    def broken(transition: Transition) -> float:
        raise ZeroDivisionError

    (episode,) = (
        await rollout(PLAYERS.reference, GUESSING, 1, plan=RolloutPlan(reward=broken))
    ).episodes
    assert episode.failure is not None
    assert (episode.failure.phase, episode.failure.code) == ("reward", "reward_invalid")


async def test_progress_hears_of_every_episode() -> None:
    heard: list[int] = []
    plan = RolloutPlan(concurrency=3)
    watcher = Progress(lambda episode: heard.append(episode.index))
    await rollout(Thinking, GUESSING, 7, plan=plan, watchers=[watcher])
    assert sorted(heard) == list(range(7))


async def test_time_is_told_by_the_clock(clock: ManualClock) -> None:
    class Slow(LocalSession):
        async def step(self, action: Action) -> StepResult:
            clock.advance(0.5)
            return await super().step(action)

    found = await rollout(
        PLAYERS.reference, lambda _: Slow(GuessNumber()), 1, plan=RolloutPlan(), clock=clock
    )
    (episode,) = found.episodes
    assert episode.step_seconds == (0.5,) * episode.length
    assert episode.seconds == found.seconds == 0.5 * episode.length


async def test_seeds_and_episodes_must_agree() -> None:
    with pytest.raises(InvalidInput, match="2 episodes were given 1 seeds"):
        await rollout(PLAYERS.random, GUESSING, 2, [1])
    with pytest.raises(InvalidInput):
        await rollout(PLAYERS.random, GUESSING, 0)
    with pytest.raises(InvalidInput, match="at most 0 steps"):
        await rollout(PLAYERS.random, GUESSING, 1, plan=RolloutPlan(max_steps=0))
    with pytest.raises(InvalidInput, match="2 episodes were given more seeds"):
        await rollout(PLAYERS.random, GUESSING, 2, itertools.count())


async def test_a_policy_that_is_cancelled_from_inside_has_failed() -> None:
    class Impatient(Thinking):
        async def act(self, observation: JsonObject) -> Action:
            model = asyncio.get_running_loop().create_future()
            model.cancel()
            await model
            return ECHO

    found = await rollout(
        lambda seed: (Impatient if seed == 1 else Thinking)(seed),
        GUESSING,
        3,
        plan=RolloutPlan(concurrency=2),
    )
    assert [each.complete for each in found.episodes] == [True, False, True]
    (failed,) = found.failures
    assert failed.failure is not None
    assert (failed.failure.phase, failed.failure.code) == ("policy", "policy_failed")


async def test_who_stops_a_rollout_that_waits_for_a_policy_stops_it() -> None:
    asked = asyncio.Event()

    class Endless:
        async def act(self, observation: JsonObject) -> Action:
            asked.set()
            await asyncio.Event().wait()
            return ECHO

    playing = asyncio.create_task(rollout(lambda _: Endless(), GUESSING, 1))
    await asked.wait()
    playing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await playing


@pytest.mark.parametrize("reward", [None, "1", math.nan, math.inf, 1e308])
async def test_a_reward_that_nobody_can_add_up_fails_its_episode(reward: Any) -> None:
    plan = RolloutPlan(reward=lambda _: reward)
    (shaped,) = (await rollout(PLAYERS.reference, GUESSING, 1, plan=plan)).episodes
    assert shaped.failure is not None
    assert (shaped.failure.phase, shaped.failure.code) == ("reward", "reward_invalid")


async def test_a_server_cannot_make_totals_overflow() -> None:
    server = ScriptedServer(steps=[observation(1e308), observation(1.0, done=True)])
    async with server.running() as url:
        found = await rollout(lambda _: Echo(), remote_sessions(url), 2)
    assert [each.rewards for each in found.episodes] == [(), (1.0,)]
    (failed,) = found.failures
    assert failed.failure is not None
    assert failed.failure.detail == "the environment's reward is 1e+308"
