from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.training.openenv.environments.a2a_message import fault_of, text_message

V1: dict[str, Any] = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hi"}]}
V03: dict[str, Any] = {"messageId": "m", "role": "user", "parts": [{"kind": "text", "text": "hi"}]}


@pytest.mark.parametrize(
    "message",
    [
        text_message("m-1", "hi"),
        V1,
        V03,
        {**V03, "kind": "message"},
        {
            **V1,
            "parts": [{"data": [1]}, {"url": "https://x", "mediaType": "text/plain"}, {"raw": ""}],
        },
        {**V1, "contextId": None, "extensions": None, "referenceTaskIds": ["t"], "unheardOf": 1},
        {**V1, "contextId": "c", "taskId": "t", "metadata": {"a": 1}},
        {**V03, "parts": [{"kind": "file", "file": {"uri": "x"}}, {"kind": "data", "data": {}}]},
    ],
)
def test_messages_of_both_versions_pass(message: JsonObject) -> None:
    assert fault_of(message) is None


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ("do it", "not an object"),
        (None, "not an object"),
        ({}, "messageId"),
        ({**V1, "messageId": ""}, "messageId"),
        ({**V1, "messageId": 7}, "messageId"),
        ({**V1, "role": "ROLE_AGENT"}, "role"),
        ({**V1, "role": ["user"]}, "role"),
        ({**V1, "kind": "task"}, "kind"),
        ({**V1, "kind": "message"}, "1.0 messages have not"),
        ({**V03, "kind": "task"}, "kind"),
        ({**V1, "contextId": 1}, "contextId"),
        ({**V1, "metadata": "m"}, "metadata must be an object"),
        ({**V1, "extensions": "x"}, "extensions must be a list of strings"),
        ({**V03, "referenceTaskIds": [1]}, "referenceTaskIds must be a list of strings"),
        ({**V1, "parts": [{"raw": "no base64!"}]}, "raw must be base64"),
        ({**V1, "parts": [{"raw": "aGkxa"}]}, "raw must be base64"),
        ({**V1, "parts": [{"text": "a", "mediaType": 1}]}, r"parts\[0\] mediaType"),
        ({**V1, "parts": [{"text": "a", "metadata": []}]}, r"parts\[0\] metadata"),
        ({**V03, "parts": [{"kind": "file", "file": {"name": "n"}}]}, "bytes or uri"),
        ({**V03, "parts": [{"kind": "file", "file": {"uri": "x", "name": 1}}]}, "name must"),
        ({**V1, "parts": []}, "parts"),
        ({**V1, "parts": "hi"}, "parts"),
        ({**V1, "parts": ["hi"]}, r"parts\[0\] is not an object"),
        ({**V1, "parts": [{}]}, "exactly one"),
        ({**V1, "parts": [{"text": "a", "data": 1}]}, "exactly one"),
        ({**V1, "parts": [{"text": 1}]}, "string"),
        ({**V1, "parts": [{"kind": "text", "text": "a"}]}, "kind"),
        ({**V03, "parts": [{"text": "a"}]}, "needs kind"),
        ({**V03, "parts": [{"kind": ["text"], "text": "a"}]}, "needs kind"),
        ({**V03, "parts": [{"kind": "text"}]}, "needs text"),
        ({**V03, "parts": [{"kind": "data", "data": "x"}]}, "needs data"),
    ],
)
def test_the_first_fault_is_named(message: JsonValue, why: str) -> None:
    fault = fault_of(message)
    assert fault is not None
    assert re.search(why, fault)


JUNK = st.sampled_from([None, True, 7, "", "aGk", "!", "x", [], ["x"], [1], {}, {"a": 1}])
PARTS_1_0 = (
    {"text": "hi"},
    {"raw": "aGk=", "filename": "f"},
    {"url": "https://example.com", "mediaType": "text/plain"},
    {"data": [1, {"a": None}], "metadata": {"a": 1}},
)
PARTS_0_3 = (
    {"kind": "text", "text": "hi", "metadata": {"a": 1}},
    {"kind": "file", "file": {"bytes": "aGk=", "mimeType": "text/plain"}},
    {"kind": "file", "file": {"uri": "https://example.com", "name": "n"}},
    {"kind": "data", "data": {"a": [1]}},
)
MEMBERS = ("contextId", "taskId", "metadata", "extensions", "referenceTaskIds", "parts", "other")
PART_MEMBERS = ("text", "raw", "url", "data", "file", "kind", "filename", "mediaType", "metadata")


def spoilt(member: st.SearchStrategy[Any], *names: str) -> st.SearchStrategy[Any]:
    """Sound in most cases; else with one member that is anything."""
    wrong = st.dictionaries(st.sampled_from(names), JUNK, max_size=1)
    return st.tuples(member, st.just({}) | wrong).map(lambda pair: {**pair[0], **pair[1]})


def messages(role: str, parts: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    part = spoilt(st.sampled_from(parts), *PART_MEMBERS)
    sound = st.fixed_dictionaries(
        {
            "messageId": st.just("m"),
            "role": st.just(role),
            "parts": st.lists(part, min_size=1, max_size=2),
        }
    )
    return spoilt(sound, *MEMBERS)


@settings(max_examples=100, deadline=None)
@given(message=messages("ROLE_USER", PARTS_1_0))
def test_what_passes_is_a_message_of_the_sdks_1_0(message: Any) -> None:
    from a2a.types import a2a_pb2
    from google.protobuf.json_format import (  # type: ignore[import-untyped]  # ships no types
        ParseDict,
    )

    if fault_of(message) is None:
        parsed = ParseDict(message, a2a_pb2.Message(), ignore_unknown_fields=True)
        assert all(part.WhichOneof("content") for part in parsed.parts)


@settings(max_examples=100, deadline=None)
@given(message=messages("user", PARTS_0_3))
def test_what_passes_is_a_message_of_the_sdks_0_3(message: Any) -> None:
    from a2a.compat.v0_3.types import Message

    if fault_of(message) is None:
        assert Message.model_validate(message).parts
