from __future__ import annotations

import math

import pytest
from a2a.types import a2a_pb2 as pb
from hypothesis import given
from hypothesis import strategies as st

from agentcore.a2a_protocol.models.task import Part, TaskState
from agentcore.a2a_protocol.sdk.values import (
    part_to,
    parts_from,
    state_of,
    status,
    storable,
    storable_text,
    struct_to_json,
    task_from_json,
    task_to_json,
    texts,
)
from agentcore.kit import jsonvalue
from agentcore.kit.jsonvalue import JsonObject
from tests.fakes.clock import ManualClock

PARTS = [
    Part(text="t", media_type="text/plain"),
    Part(raw=b"\0\xff", filename="f", media_type="image/png"),
    Part(url="https://x/y"),
    Part(data={"a": [1, 2.5, None, True, {"b": "ü"}]}, media_type="application/json"),
    Part(data=[1]),
    Part(text=""),
]


@pytest.mark.parametrize("part", PARTS)
def test_a_part_survives_the_protocol(part: Part) -> None:
    assert parts_from(pb.Message(parts=[part_to(part)])) == (part,)


def test_short_forms_of_parts() -> None:
    text, data = parts_from(pb.Message(parts=[part_to("hello"), part_to({"n": 42})]))
    assert (text.text, text.media_type) == ("hello", "text/plain")
    assert (data.data, data.media_type) == ({"n": 42}, "application/json")


def test_texts_are_joined_by_lines() -> None:
    assert texts([Part(text="a"), Part(url="u"), Part(text="b")]) == "a\nb"


@given(st.text())
def test_any_text_can_be_stored(text: str) -> None:
    kept = storable_text(text)
    assert b"\0" not in kept.encode()
    if "\0" not in text and text.isascii():
        assert kept == text


def test_any_value_can_be_stored() -> None:
    value: JsonObject = {"x\0": [math.nan, math.inf, 1.5, "\ud800", None, True, 3]}
    assert storable(value) == {"x\ufffd": [None, None, 1.5, "?", None, True, 3]}
    assert jsonvalue.dumps(storable(value))


def test_a_task_survives_its_row(clock: ManualClock) -> None:
    task = pb.Task(
        id="t",
        context_id="c",
        status=status(TaskState.WORKING, clock.now()),
        history=[pb.Message(message_id="m", role=pb.Role.ROLE_USER, parts=[part_to("x")])],
        artifacts=[pb.Artifact(artifact_id="a", parts=[part_to({"n": 1})])],
    )
    task.metadata.update({"agentId": "poet"})
    body = task_to_json(task)
    stored = jsonvalue.loads(jsonvalue.dumps(body))
    assert isinstance(stored, dict)
    assert task_from_json(stored) == task
    assert state_of(task) is TaskState.WORKING
    assert struct_to_json(task) == {"agentId": "poet"}
    assert body["status"] == {"state": "TASK_STATE_WORKING", "timestamp": "2026-01-01T00:00:00Z"}


def test_a_row_of_a_later_version_can_be_read() -> None:
    assert task_from_json({"id": "t", "generation": 3}).id == "t"
