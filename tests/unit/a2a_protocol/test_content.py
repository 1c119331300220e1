from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.a2a_protocol.models.task import Part
from agentcore.a2a_protocol.tasks.content import (
    agent_message,
    part_json,
    parts_of,
    storable,
    storable_text,
    texts,
)
from agentcore.kit import jsonvalue
from agentcore.kit.jsonvalue import JsonObject, JsonValue

PARTS: list[tuple[Part | str | JsonObject, JsonObject]] = [
    ("hello", {"text": "hello", "mediaType": "text/plain"}),
    ({"n": 1}, {"data": {"n": 1}, "mediaType": "application/json"}),
    (Part(raw=b"bytes", filename="f"), {"raw": "Ynl0ZXM=", "filename": "f"}),
    (Part(url="https://x/y", media_type="image/png"),
     {"url": "https://x/y", "mediaType": "image/png"}),
    (Part(text=""), {"text": ""}),
    (Part(data=[1]), {"data": [1]}),
    ("a\0b\ud800", {"text": "a\ufffdb?", "mediaType": "text/plain"}),
]  # fmt: skip


@pytest.mark.parametrize(("content", "wire"), PARTS)
def test_parts(content: Part | str | JsonObject, wire: JsonObject) -> None:
    assert part_json(content) == wire
    (read,) = parts_of({"parts": [wire]})
    assert part_json(read) == wire


def test_texts_are_joined() -> None:
    parts = parts_of({"parts": [{"text": "a"}, {"data": {}}, {"text": "b"}]})
    assert texts(parts) == "a\nb"
    assert parts_of({}) == ()


def test_what_an_agent_says_is_an_agents_message() -> None:
    assert agent_message("m", "t", "c", [{"text": "x"}])["role"] == "ROLE_AGENT"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON)
def test_whatever_an_agent_gives_can_be_stored(value: JsonValue) -> None:
    written = jsonvalue.dumps(storable(value))
    assert b"\\u0000" not in written
    assert jsonvalue.loads(written) == storable(value)


@given(st.text(alphabet=st.characters(codec=None)))
def test_any_text_can_be_stored(text: str) -> None:
    assert "\0" not in storable_text(text).encode().decode()
