"""Recorded documents with any one of their values replaced: told, or refused as what they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest

from agentcore.llm_gateway.dialects.messages import MESSAGES, MessagesTranslation
from agentcore.llm_gateway.errors import InvalidChatRequest, UpstreamError
from agentcore.llm_gateway.models import ChatCall
from agentcore.llm_gateway.translation import TranslatedWire
from agentcore.llm_gateway.wire import Wire
from agentcore.llm_gateway.wires.anthropic import AnthropicWire
from agentcore.llm_gateway.wires.chat import ChatWire
from agentcore.llm_gateway.wires.messages import MessagesWire
from tests.fakes.clock import ManualClock

WIRE = Path(__file__).parents[2] / "wire"
OTHERS: list[Any] = [None, True, -1, "x", [], [[]], [7], {}, {"type": []}, {"type": {}}]


def recorded(name: str) -> Any:
    return json.loads((WIRE / f"{name}.json").read_text())


def mutations(value: Any) -> Iterator[Any]:
    """``value`` with one value in it, or itself, replaced by each of the others."""
    yield from OTHERS
    if isinstance(value, dict):
        for name, member in value.items():
            for other in mutations(member):
                yield {**value, name: other}
            yield {each: kept for each, kept in value.items() if each != name}
    elif isinstance(value, list):
        for at, item in enumerate(value):
            for other in mutations(item):
                yield [*value[:at], other, *value[at + 1 :]]


CHAT = ["anthropic/chat_tools_called", "anthropic/chat_thoughts_sent_back"]
MESSAGES_ASKED = [
    "messages/openai_tools_called",
    "messages/compatible_stream_with_thoughts_and_tools",
    "anthropic/messages_plain",
]
OVER_CHAT = TranslatedWire(ChatWire("p"), MessagesTranslation("p"))
ANTHROPIC = AnthropicWire("p", ManualClock())


@pytest.mark.parametrize("name", CHAT)
def test_a_chat_completion_is_carried_or_refused(name: str) -> None:
    asked = recorded(name)["request"]
    for body in mutations(asked):
        if isinstance(body, dict) and isinstance(body.get("messages"), list):
            with suppress(InvalidChatRequest):
                sent = ANTHROPIC.request(ChatCall("m", body), "claude-opus-5")
                assert isinstance(orjson.loads(sent)["messages"], list)


@pytest.mark.parametrize("wire", [OVER_CHAT, MessagesWire("p")], ids=["translated", "native"])
@pytest.mark.parametrize("name", MESSAGES_ASKED)
def test_a_message_is_carried_or_refused(name: str, wire: Wire) -> None:
    asked = recorded(name)["request"]
    for body in mutations(asked):
        with suppress(InvalidChatRequest):
            parsed = MESSAGES.parse(orjson.dumps(body))
            call = ChatCall("m", parsed, dialect="messages")
            assert isinstance(orjson.loads(wire.request(call, "m"))["messages"], list)


ANSWERED: list[tuple[Wire, str]] = [
    (ANTHROPIC, "anthropic/chat_tools_called"),
    (MessagesWire("p"), "anthropic/messages_plain"),
    (OVER_CHAT, "messages/openai_tools_called"),
]


@pytest.mark.parametrize(("wire", "name"), ANSWERED, ids=["chat", "native", "translated"])
def test_an_answer_is_one_or_a_failure(wire: Wire, name: str) -> None:
    exchange = recorded(name)
    call = ChatCall("m", exchange["request"])
    for document in mutations(exchange["upstream_answer"]["json"]):
        with suppress(UpstreamError):
            assert orjson.loads(wire.answer(orjson.dumps(document), call).body)


STREAMED: list[tuple[Wire, str]] = [
    (ANTHROPIC, "anthropic/chat_stream_with_thoughts_and_tools"),
    (MessagesWire("p"), "anthropic/messages_stream"),
    (OVER_CHAT, "messages/compatible_stream_with_thoughts_and_tools"),
]


@pytest.mark.parametrize(("wire", "name"), STREAMED, ids=["chat", "native", "translated"])
def test_a_stream_is_one_or_a_failure(wire: Wire, name: str) -> None:
    exchange = recorded(name)
    events = [b"data: " + orjson.dumps(event) for event in exchange["upstream_answer"]["events"]]
    call = ChatCall("m", exchange["request"], stream=True, wants_usage=True)
    for at, event in enumerate(exchange["upstream_answer"]["events"]):
        for other in mutations(event):
            changed = b"data: " + orjson.dumps(other)
            stream = b"\n\n".join([*events[:at], changed, *events[at + 1 :], b""])
            with suppress(UpstreamError):
                scanner = wire.scanner(call)
                out = scanner.feed(stream) + scanner.end()
                assert scanner.failure is not None or out.endswith(b"\n\n")
