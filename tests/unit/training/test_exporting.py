from __future__ import annotations

import json
from typing import Any

import pytest

from agentcore.kit.errors import InvalidInput
from agentcore.training.exporting import FORMATS, export_lines, export_rows
from agentcore.training.models import EpisodeFailure
from agentcore.training.openenv.models import Action, Observation
from agentcore.training.recording import RecordedEpisode, RecordedStep, Recording, RecordingHeader

HEADER = RecordingHeader(environment="guess_number", version="1.0.0", policy="reference")


def step(number: int, hint: str, reward: float, **more: Any) -> RecordedStep:
    values: dict[str, Any] = {
        "action": Action(type="guess", parameters={"number": number}),
        "observation": Observation(state={"hint": hint}),
        "reward": reward,
        "terminated": False,
        "truncated": False,
        "cut": False,
        "seconds": 0.002,
        **more,
    }
    return RecordedStep(**values)


def recording(*episodes: RecordedEpisode) -> Recording:
    return Recording(HEADER, episodes, complete=True)


START = Observation(state={"hint": "start"})
WON = RecordedEpisode(
    0, 7, START, [step(50, "low", -0.1), step(75, "hit", 1.0, terminated=True)], ended=True
)
LOST = RecordedEpisode(
    1,
    8,
    START,
    [step(50, "low", -0.1)],
    ended=True,
    failure=EpisodeFailure("step", "session_lost", "gone"),
)
CUT_OFF = RecordedEpisode(2, 9, START, [step(50, "low", -0.1)])
EMPTY = RecordedEpisode(3, 10, START)
ALL = recording(WON, LOST, CUT_OFF, EMPTY)
TURNS = [
    {"role": "user", "content": '{"hint":"start"}'},
    {"role": "assistant", "content": '{"type":"guess","parameters":{"number":50}}'},
    {"role": "user", "content": '{"hint":"low"}'},
    {"role": "assistant", "content": '{"type":"guess","parameters":{"number":75}}'},
]


def rows(form: str, source: Recording = ALL) -> list[dict[str, Any]]:
    return [json.loads(line) for line in export_lines(export_rows(source, form))]


def test_trl_gets_conversations_with_their_reward() -> None:
    assert rows("trl-messages") == [{"messages": TURNS, "reward": 0.9, "episode": 0, "seed": 7}]


def test_trl_gets_steps_as_prompt_and_completion() -> None:
    first, second = rows("trl-steps")
    assert first == {
        "prompt": TURNS[:1],
        "completion": TURNS[1:2],
        "reward": -0.1,
        "return": 0.9,
        "episode": 0,
        "step": 1,
        "seed": 7,
    }
    assert (second["prompt"], second["completion"]) == (TURNS[2:3], TURNS[3:])
    assert (second["reward"], second["return"]) == (1.0, 1.0)


def test_verifiers_gets_its_columns() -> None:
    won, lost, cut_off = rows("verifiers")
    assert won == {
        "example_id": 7,
        "prompt": TURNS[:1],
        "completion": TURNS[1:],
        "reward": 0.9,
        "metrics": {"num_turns": 2.0},
        "num_turns": 2.0,
        "is_completed": True,
        "is_truncated": False,
        "stop_condition": "environment_done",
        "info": {
            "environment": "guess_number",
            "version": "1.0.0",
            "policy": "reference",
            "seed": 7,
        },
        "error": None,
        "timing": {"total_ms": 4.0},
    }
    assert (lost["is_completed"], lost["stop_condition"]) == (False, "has_error")
    assert lost["error"]["error"] == "session_lost"
    assert set(lost["error"]) == {"error", "error_chain_repr", "error_chain_str"}
    assert (cut_off["is_completed"], cut_off["is_truncated"]) == (False, True)
    assert cut_off["stop_condition"] is None


def test_a_truncated_episode_says_so() -> None:
    truncated = RecordedEpisode(0, None, START, [step(1, "low", 0.0, truncated=True)], ended=True)
    (row,) = rows("verifiers", recording(truncated))
    assert (row["stop_condition"], row["is_truncated"], row["example_id"]) == (
        "max_turns_reached",
        True,
        0,
    )


def test_unknown_formats_are_named() -> None:
    with pytest.raises(InvalidInput, match="unknown export format 'parquet'") as caught:
        export_rows(ALL, "parquet")
    assert all(form in caught.value.hint for form in FORMATS)
