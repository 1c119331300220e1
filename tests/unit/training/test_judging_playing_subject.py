from __future__ import annotations

from typing import Any

import pytest

from agentcore.training.openenv.conformance.judging import Violation, check, require
from agentcore.training.openenv.conformance.playing import envelope_of, require_envelope
from agentcore.training.openenv.conformance.subject import Subject
from agentcore.training.openenv.describing import bearer


@check("it-is", "It is", "everywhere", "should")
async def it_is(_: Subject) -> None:
    require(True, "nothing", None)


def test_a_check_is_its_record() -> None:
    assert (it_is.id, it_is.title, it_is.section, it_is.severity) == (
        "it-is",
        "It is",
        "everywhere",
        "should",
    )


def test_what_is_required_shows_what_came() -> None:
    with pytest.raises(Violation) as caught:
        require(False, "four", {"came": [5]})
    assert (caught.value.expected, caught.value.got) == ("four", '{"came": [5]}')
    with pytest.raises(Violation, match="expected four, got five"):
        require(False, "four", "five")


GOOD: dict[str, Any] = {"observation": {}, "reward": None, "done": False}


@pytest.mark.parametrize("reward", [None, 0, 0.5, True])
def test_a_playing_server_may_reward_so(reward: Any) -> None:
    require_envelope({**GOOD, "reward": reward})


@pytest.mark.parametrize(
    "change",
    [
        {"observation": []},
        {"observation": {"reward": 1}},
        {"observation": {"done": True}},
        {"reward": "much"},
        {"done": None},
        {"done": 0},
    ],
)
def test_an_envelope_has_its_form(change: dict[str, Any]) -> None:
    with pytest.raises(Violation):
        require_envelope({**GOOD, **change})
    with pytest.raises(Violation):
        require_envelope({"observation": {}, "done": False})


def test_an_answer_is_an_observation_or_none() -> None:
    assert envelope_of({"type": "observation", "data": {}}) == {}
    with pytest.raises(Violation):
        envelope_of({"type": "state", "data": {}})


def test_no_token_no_header() -> None:
    assert bearer(None) == bearer("") == {}
    assert bearer("t") == {"Authorization": "Bearer t"}
