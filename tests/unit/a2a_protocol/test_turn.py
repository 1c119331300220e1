from __future__ import annotations

from dataclasses import replace

import pytest

from agentcore.a2a_protocol.errors import InvalidParams
from agentcore.a2a_protocol.models.turn import Sent
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from tests.fakes.a2a import principal

MESSAGE: JsonObject = {"messageId": "m", "parts": [{"text": "x"}], "contextId": "c"}
SENT = Sent(principal=principal(), message=MESSAGE)


def test_the_agent_is_named_most_specific_first() -> None:
    named = replace(
        SENT,
        message={**MESSAGE, "metadata": {"agent_id": "a"}},
        metadata={"agent_id": "b"},
        tenant="t",
        agent="p",
    )
    assert named.named == "p"
    assert replace(named, agent="").named == "a"
    assert replace(named, agent="", message=MESSAGE).named == "b"
    assert replace(named, agent="", message=MESSAGE, metadata={}).named == "t"
    assert SENT.named == ""


@pytest.mark.parametrize(
    "other",
    [
        {"message": {**MESSAGE, "messageId": "n"}},
        {"message": {**MESSAGE, "parts": [{"text": "y"}]}},
        {"message": {**MESSAGE, "taskId": "t"}},
        {"metadata": {"k": 1}},
        {"principal": principal("bob")},
        {"principal": principal(tenant="evil")},
        {"agent": "poet"},
    ],
)
def test_only_a_repetition_has_the_same_key(other: dict[str, object]) -> None:
    assert replace(SENT, message=dict(MESSAGE)).key == SENT.key
    assert replace(SENT, **other).key != SENT.key  # type: ignore[arg-type]  # named by each case


def test_what_is_repeated_may_be_said_apart_from_the_message() -> None:
    said = replace(SENT, repeats="r")
    assert replace(said, message={"messageId": "n"}, metadata={"k": 1}).key == said.key
    assert replace(said, principal=principal("bob")).key != said.key
    assert len({said.key, SENT.key, replace(SENT, repeats="s").key}) == 3


@pytest.mark.parametrize(("value", "seconds"), [(5, 5.0), (0.5, 0.5), (None, None)])
def test_the_deadline(value: JsonValue, seconds: float | None) -> None:
    assert replace(SENT, metadata={"deadline_seconds": value}).deadline_seconds == seconds


@pytest.mark.parametrize("value", [0, -1, True, "5", "soon", [5], {}])
def test_a_deadline_that_is_none_is_not_passed_over(value: JsonValue) -> None:
    with pytest.raises(InvalidParams, match="deadline_seconds is"):
        _ = replace(SENT, metadata={"deadline_seconds": value}).deadline_seconds
