from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.training.openenv.environments.base import Step
from agentcore.training.openenv.environments.examples.guess_number import Guess, GuessNumber
from agentcore.training.openenv.environments.policies import POLICIES
from agentcore.training.openenv.models import Action, Observation, StepResult
from agentcore.training.openenv.playing import LocalSession, local_sessions
from agentcore.training.recording import (
    RecordedEpisode,
    RecordedStep,
    Recorder,
    Recording,
    RecordingHeader,
    read_recording,
)
from agentcore.training.replaying import Divergence, replay
from agentcore.training.rollouts import RolloutPlan, rollout

GO = Action(type="go")


async def recorded(path: Path, episodes: int = 4, max_steps: int | None = None) -> Recording:
    with Recorder(path, RecordingHeader(environment="guess_number")) as recorder:
        await rollout(
            POLICIES["guess_number"].reference,
            local_sessions(GuessNumber),
            episodes,
            1,
            plan=RolloutPlan(concurrency=2, max_steps=max_steps),
            watchers=[recorder],
        )
    return read_recording(path)


class Scripted:
    """Shows one state after another."""

    def __init__(self, *states: JsonObject, reward: float = 0.0) -> None:
        self._states = iter(states)
        self._reward = reward

    async def reset(
        self, seed: int | None = None, options: JsonObject | None = None
    ) -> Observation:
        return Observation(state=next(self._states))

    async def step(self, action: Action) -> StepResult:
        seen = Observation(state=next(self._states))
        return StepResult(observation=seen, reward=self._reward, terminated=False, truncated=False)

    async def close(self) -> None: ...


def episode(*states: JsonObject) -> RecordedEpisode:
    first, *rest = (Observation(state=state) for state in states)
    steps = [
        RecordedStep(
            action=GO,
            observation=seen,
            reward=0.0,
            terminated=False,
            truncated=False,
            cut=False,
            seconds=0.0,
        )
        for seen in rest
    ]
    return RecordedEpisode(3, 7, first, steps)


async def test_the_same_environment_repeats_itself(tmp_path: Path) -> None:
    found = await recorded(tmp_path / "r")
    told: list[int] = []
    session = LocalSession(GuessNumber())
    replayed = await replay(found.episodes, session, progress=lambda each: told.append(each.index))
    assert [each.verdict for each in replayed] == ["same"] * 4
    assert [each.steps for each in replayed] == [len(each.steps) for each in found.episodes]
    assert told == [0, 1, 2, 3]


async def test_a_limit_of_the_player_is_not_the_environments(tmp_path: Path) -> None:
    found = await recorded(tmp_path / "r", max_steps=2)
    assert any(each.steps[-1].cut for each in found.episodes)
    replayed = await replay(found.episodes, LocalSession(GuessNumber()))
    assert [each.verdict for each in replayed] == ["same"] * 4


async def test_another_version_diverges_at_a_place(tmp_path: Path) -> None:
    class Kinder(GuessNumber):
        def act(self, action: Guess) -> Step:
            step = super().act(action)
            return step._replace(reward=-0.05) if self.step_count == 2 else step

    found = await recorded(tmp_path / "r", episodes=1)
    (replayed,) = await replay(found.episodes, LocalSession(Kinder()))
    assert replayed.verdict == "diverged"
    assert replayed.steps == 1
    assert replayed.divergence == Divergence(step=2, path="/reward", recorded=-0.1, found=-0.05)


async def test_an_environment_that_refuses_ends_the_replay(tmp_path: Path) -> None:
    class Shorter(GuessNumber):
        max_episode_steps = 1

    found = await recorded(tmp_path / "r", episodes=1)
    (replayed,) = await replay(found.episodes, LocalSession(Shorter()))
    assert replayed.divergence is not None
    assert replayed.divergence.path == "/truncated"
    lenient = await replay(found.episodes, LocalSession(Shorter()), ignoring=["/truncated"])
    assert lenient[0].verdict == "failed"
    assert lenient[0].error.startswith("episode_over: ")


@pytest.mark.parametrize(
    ("before", "after", "path", "values"),
    [
        ({"a": 1}, {"a": 2}, "/observation/a", (1, 2)),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, "/observation/a/b/1", (2, 3)),
        ({"a": [1]}, {"a": [1, 2]}, "/observation/a/1", (None, 2)),
        ({"a": 1}, {}, "/observation/a", (1, None)),
        ({}, {"a/b~": 1}, "/observation/a~1b~0", (None, 1)),
        ({"a": 1}, {"a": True}, "/observation/a", (1, True)),
        ({"a": 1}, {"a": "1"}, "/observation/a", (1, "1")),
    ],
)
async def test_the_first_difference_is_named_exactly(
    before: JsonObject, after: JsonObject, path: str, values: tuple[JsonValue, JsonValue]
) -> None:
    (at_reset,) = await replay([episode(before)], Scripted(after))
    assert at_reset.divergence is not None
    assert (at_reset.divergence.step, at_reset.divergence.path) == (0, path)
    assert (at_reset.divergence.recorded, at_reset.divergence.found) == values
    (at_step,) = await replay([episode({}, before)], Scripted({}, after))
    assert at_step.divergence is not None
    assert (at_step.divergence.step, at_step.index) == (1, 3)
    (ignored,) = await replay([episode({}, before)], Scripted({}, after), ignoring=[path])
    assert (ignored.verdict, ignored.steps) == ("same", 1)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.text("ab", max_size=2),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text("a/", max_size=2), below),
    max_leaves=5,
)
STATES = st.dictionaries(st.text("ab", max_size=1), JSON, max_size=3)


@settings(max_examples=60, deadline=None)
@given(one=STATES, other=STATES)
async def test_what_differs_diverges_and_nothing_else(one: JsonObject, other: JsonObject) -> None:
    (same,) = await replay([episode(one)], Scripted(one))
    assert same.verdict == "same"
    (compared,) = await replay([episode(one)], Scripted(other))
    equal = orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(
        other, option=orjson.OPT_SORT_KEYS
    )
    assert (compared.verdict == "same") == equal
