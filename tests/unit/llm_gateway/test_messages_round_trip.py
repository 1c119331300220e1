"""There and back: chat completions as messages as chat completions, and messages the other way."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from agentcore.llm_gateway.dialects.messages import MessagesTranslation
from agentcore.llm_gateway.models import ChatCall
from agentcore.llm_gateway.translation import TranslatedWire
from agentcore.llm_gateway.wires.anthropic import AnthropicWire
from tests.fakes.anthropic_speech import (
    PING,
    STOP,
    closes,
    event,
    grows,
    message,
    opens,
    starts,
    turns,
)
from tests.fakes.clock import ManualClock
from tests.fakes.cutting import CUTS, cut

WIRE = AnthropicWire("p", ManualClock())
TRANSLATION = MessagesTranslation("p")
# What a caller who speaks messages hears of a provider that is asked by chat completions, which is
# Anthropic again: nothing may be lost on the way.
BOTH = TranslatedWire(WIRE, TRANSLATION)

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
ids = st.text("aZ09_-", min_size=1, max_size=6)
plain = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | words
arguments = st.dictionaries(words, plain | st.lists(plain, max_size=2), max_size=2)
images = st.sampled_from(["https://x.example/a.png", "data:image/png;base64,aGk="])


@st.composite
def called(draw: st.DrawFn) -> list[dict[str, Any]]:
    """An assistant that calls tools, and what they give back."""
    names = draw(st.lists(ids, min_size=1, max_size=3, unique=True))
    calls = [
        {
            "id": name,
            "type": "function",
            "function": {"name": draw(ids), "arguments": orjson.dumps(draw(arguments)).decode()},
        }
        for name in names
    ]
    said = {"role": "assistant", "content": draw(st.none() | words), "tool_calls": calls}
    return [
        said,
        *({"role": "tool", "tool_call_id": name, "content": draw(words)} for name in names),
    ]


@st.composite
def users(draw: st.DrawFn) -> dict[str, Any]:
    if draw(st.booleans()):
        return {"role": "user", "content": draw(words)}
    image = {"type": "image_url", "image_url": {"url": draw(images)}}
    return {"role": "user", "content": [{"type": "text", "text": draw(words)}, image]}


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []
    if draw(st.booleans()):
        said.append({"role": "system", "content": draw(words)})
    said.append(draw(users()))
    for _ in range(draw(st.integers(0, 2))):
        if draw(st.booleans()):
            said += draw(called())
        else:
            said.append({"role": "assistant", "content": draw(words)})
        said.append(draw(users()))
    return said


@given(conversations(), st.integers(1, 9999), st.lists(words, min_size=1, max_size=2))
def test_a_conversation_keeps_its_words_calls_ids_and_order(
    said: list[dict[str, Any]], limit: int, stop: list[str]
) -> None:
    chat: dict[str, Any] = {"model": "m", "messages": said, "max_tokens": limit, "stop": stop}
    sent = orjson.loads(WIRE.request(ChatCall("m", chat), "m"))
    roles = [turn["role"] for turn in sent["messages"]]
    assert all(former != latter for former, latter in pairwise(roles))
    assert TRANSLATION.to_chat(sent) == chat


@st.composite
def answers(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Thoughts, words and calls, as models tell them."""
    content: list[dict[str, Any]] = []
    if draw(st.booleans()):
        content.append({"type": "thinking", "thinking": draw(words), "signature": "agentcore"})
    if draw(st.booleans()):
        content.append({"type": "text", "text": draw(words)})
    for name in draw(st.lists(ids, max_size=3, unique=True)):
        used = {"type": "tool_use", "id": name, "name": draw(ids), "input": draw(arguments)}
        content.append(used)
    return content


def call(*, stream: bool = False) -> ChatCall:
    body: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": []}
    return ChatCall("m", body, stream=stream, dialect="messages")


def stop_of(content: list[dict[str, Any]]) -> str:
    return "tool_use" if content and content[-1]["type"] == "tool_use" else "end_turn"


@given(answers())
def test_an_answer_keeps_its_words_calls_ids_and_order(content: list[dict[str, Any]]) -> None:
    given = {**message(*content, stop=stop_of(content)), "id": "msg_01"}
    told: dict[str, Any] = orjson.loads(BOTH.answer(orjson.dumps(given), call()).body)
    assert told["content"] == content
    assert told["stop_reason"] == given["stop_reason"]
    assert told["model"] == given["model"]
    for name, count in given["usage"].items():
        assert told["usage"][name] == count


def events_of(content: list[dict[str, Any]], size: int) -> bytes:
    """``content`` in parts of ``size``."""
    out = [starts(), PING]
    for index, block in enumerate(content):
        if block["type"] == "tool_use":
            out.append(opens(index, **{**block, "input": {}}))
            written = orjson.dumps(block["input"]).decode()
            kind, member = "input_json_delta", "partial_json"
        else:
            member = block["type"]
            out.append(opens(index, type=member, **{member: ""}))
            written, kind = block[member], f"{member}_delta"
        parts = [written[at : at + size] for at in range(0, len(written), size)]
        out += [grows(index, type=kind, **{member: part}) for part in parts]
        out.append(closes(index))
    return b"".join([*out, turns(stop_of(content)), STOP])


def heard(stream: bytes) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The content and the last turn, as a caller adds them up."""
    content: list[dict[str, Any]] = []
    turn: dict[str, Any] = {}
    for one in stream.decode().strip().split("\n\n"):
        document = orjson.loads(one.split("\ndata: ")[1])
        if document["type"] == "content_block_start":
            content.append(document["content_block"])
            content[-1].pop("input", None)
        elif document["type"] == "content_block_delta":
            for member, part in document["delta"].items():
                if member != "type":
                    content[-1][member] = content[-1].get(member, "") + part
        elif document["type"] == "message_delta":
            turn = document
    for block in content:
        if block["type"] == "tool_use":
            block["input"] = orjson.loads(block.pop("partial_json"))
    return content, turn


@given(answers(), st.integers(1, 5), CUTS)
def test_a_stream_keeps_them_too_however_it_is_cut(
    content: list[dict[str, Any]], size: int, cuts: list[int]
) -> None:
    stream = events_of(content, size)
    scanner = BOTH.scanner(call(stream=True))
    out = b"".join(map(scanner.feed, cut(stream, cuts))) + scanner.end()
    assert scanner.failure is None
    told, turn = heard(out)
    assert told == content
    assert turn["delta"]["stop_reason"] == stop_of(content)
    assert turn["usage"]["input_tokens"] == 12
    assert out.endswith(event({"type": "message_stop"}))
