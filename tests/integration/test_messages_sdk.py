"""The official Anthropic SDK at the gateway's door, with Anthropic behind it or somebody else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, get_args

import pytest

from agentcore.llm_gateway.dialects.messages import ERROR_TYPES
from agentcore.llm_gateway.models import ProviderConfig
from agentcore.llm_gateway.wires.anthropic_answer import FINISH_REASONS
from tests.fakes import anthropic_speech as spoken
from tests.fakes.late import Late
from tests.fakes.llm_door import Door, llm_door
from tests.fakes.llm_speech import OPENAI
from tests.fakes.llm_upstream import (
    Behaviour,
    Upstream,
    answers,
    completion,
    delta,
    event,
    fails,
    llm_upstream,
    says,
    stalls,
    streams,
    usage_event,
)

if TYPE_CHECKING:
    import anthropic
    import anthropic.types.shared
else:
    anthropic = Late("anthropic")

ASK: dict[str, Any] = {
    "model": "m",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "Weather in Rome?"}],
}
TOOLS: dict[str, Any] = {
    "tools": [{"name": "weather", "input_schema": {"type": "object", "properties": {}}}]
}
SAYS: dict[str, Behaviour] = {
    "anthropic": spoken.says("Hello there!"),
    "compatible": says("Hello there!"),
}
KINDS = ["anthropic", "compatible"]


class Gateway:
    """A client of the SDK, and the upstream behind the door that it talks to."""

    def __init__(self, kind: str, sdk: anthropic.AsyncAnthropic, up: Upstream, door: Door) -> None:
        self.kind = kind
        self.sdk = sdk
        self.upstream = up
        self.door = door

    def told(self, **behaviours: Behaviour) -> None:
        """What the upstream does, by the kind of provider it is."""
        self.upstream.behaviour = behaviours[self.kind]


@asynccontextmanager
async def gateway(kind: str, seconds: float = 60.0) -> AsyncIterator[Gateway]:
    async with llm_upstream() as upstream:
        upstream.behaviour = SAYS[kind]
        config = ProviderConfig.model_validate(
            {
                "name": "there",
                "kind": kind,
                "base_url": upstream.v1,
                "models": {"m": "theirs"},
                "timeouts": {"first_byte": seconds, "idle": seconds, "total": seconds},
            }
        )
        async with (
            llm_door(config) as door,
            anthropic.AsyncAnthropic(
                base_url=door.url.removesuffix("/v1"), api_key="k", max_retries=0
            ) as sdk,
        ):
            yield Gateway(kind, sdk, upstream, door)


@pytest.fixture(params=KINDS)
async def over(request: pytest.FixtureRequest) -> AsyncIterator[Gateway]:
    # Only where nothing comes is the end of the time what is waited for.
    seconds = 0.2 if "stalled" in request.node.name else 60.0
    async with gateway(request.param, seconds) as running:
        yield running


@pytest.fixture
async def others() -> AsyncIterator[Gateway]:
    async with gateway("compatible") as running:
        yield running


async def test_plain(over: Gateway) -> None:
    raw = await over.sdk.messages.with_raw_response.create(**ASK)
    message = await raw.parse()
    assert isinstance(message, anthropic.types.Message)
    (block,) = message.content
    assert isinstance(block, anthropic.types.TextBlock)
    assert block.text == "Hello there!"
    assert (message.stop_reason, message.role, message.type) == ("end_turn", "assistant", "message")
    assert (message.usage.input_tokens, message.usage.output_tokens) == (12, 3)
    assert raw.headers["x-agentcore-provider"] == "there"
    assert over.upstream.bodies[0]["model"] == "theirs"
    (line,) = over.door.lines
    assert line.usage is not None
    assert line.usage.total_tokens == 15


async def test_streamed(over: Gateway) -> None:
    async with over.sdk.messages.stream(**ASK) as stream:
        text = [part async for part in stream.text_stream]
        message = await stream.get_final_message()
    assert text == ["Hello ", "there!"]
    assert message.stop_reason == "end_turn"
    assert (message.usage.input_tokens, message.usage.output_tokens) == (12, 3)


async def test_raw_events(over: Gateway) -> None:
    stream = await over.sdk.messages.create(**ASK, stream=True)
    kinds = [event.type async for event in stream]
    assert kinds == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


CALLS: list[Any] = [
    {
        "id": "toolu_1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city": "Rome"}'},
    }
]
USED = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Rome"}}


async def test_tools(over: Gateway) -> None:
    called = completion("")
    called["choices"][0] = {
        "index": 0,
        "message": {"role": "assistant", "content": None, "tool_calls": CALLS},
        "finish_reason": "tool_calls",
    }
    over.told(
        anthropic=fails(200, spoken.message(USED, stop="tool_use")), compatible=fails(200, called)
    )
    message = await over.sdk.messages.create(**ASK, **TOOLS)
    (block,) = message.content
    assert isinstance(block, anthropic.types.ToolUseBlock)
    assert (block.id, block.name, block.input) == ("toolu_1", "weather", {"city": "Rome"})
    assert message.stop_reason == "tool_use"
    over.upstream.behaviour = SAYS[over.kind]
    result = {"type": "tool_result", "tool_use_id": block.id, "content": "Rain."}
    said = [*ASK["messages"], message.to_param(), {"role": "user", "content": [result]}]
    answer = await over.sdk.messages.create(**{**ASK, **TOOLS, "messages": said})
    assert answer.stop_reason == "end_turn"
    assert "toolu_1" in over.upstream.raw[-1].decode()


async def test_tools_and_thoughts_streamed(over: Gateway) -> None:
    first = {**CALLS[0], "index": 0, "function": {"name": "weather", "arguments": ""}}
    parts = ['{"city":', ' "Rome"}']
    growing = [{"index": 0, "function": {"arguments": part}} for part in parts]
    over.told(
        anthropic=streams(
            spoken.starts(),
            spoken.thinks(0, "Hm.", "agentcore"),
            spoken.opens(1, **{**USED, "input": {}}),
            *(spoken.grows(1, type="input_json_delta", partial_json=part) for part in parts),
            spoken.closes(1),
            spoken.turns("tool_use"),
            spoken.STOP,
        ),
        compatible=streams(
            *(
                event({"id": "c", "choices": [{"index": 0, "delta": each}]})
                for each in (
                    {"reasoning_content": "Hm."},
                    {"tool_calls": [first]},
                    *({"tool_calls": [each]} for each in growing),
                )
            ),
            delta(finish="tool_calls"),
            usage_event(),
            event("[DONE]"),
        ),
    )
    async with over.sdk.messages.stream(**ASK, **TOOLS) as stream:
        message = await stream.get_final_message()
    thought, used = message.content
    assert isinstance(thought, anthropic.types.ThinkingBlock)
    assert (thought.thinking, thought.signature) == ("Hm.", "agentcore")
    assert isinstance(used, anthropic.types.ToolUseBlock)
    assert (used.id, used.input) == ("toolu_1", {"city": "Rome"})
    assert message.stop_reason == "tool_use"
    said = [*ASK["messages"], message.to_param()]
    over.upstream.behaviour = SAYS[over.kind]
    await over.sdk.messages.create(**{**ASK, "messages": said})
    sent = over.upstream.bodies[-1]["messages"][-1]
    assert '"agentcore"' not in over.upstream.raw[-1].decode()
    assert sent["role"] == "assistant"


async def test_features_go_to_anthropic_alone(over: Gateway) -> None:
    await over.sdk.beta.messages.create(**ASK, betas=["context-management-2025-06-27"])
    (headers,) = over.upstream.headers
    wanted = "context-management-2025-06-27" if over.kind == "anthropic" else None
    assert headers.get("anthropic-beta") == wanted


async def test_a_refused_request(over: Gateway) -> None:
    over.told(
        anthropic=fails(400, spoken.fault("theirs", "bad top_p")),
        compatible=fails(400, OPENAI.fault("theirs", "bad top_p")),
    )
    with pytest.raises(anthropic.BadRequestError) as caught:
        await over.sdk.messages.create(**ASK)
    assert caught.value.type == "invalid_request_error"
    assert "bad top_p" in str(caught.value.api_message)


@pytest.mark.parametrize(
    ("behaviour", "expected", "kind", "code"),
    [
        (fails(429), "RateLimitError", "rate_limit_error", "rate_limited"),
        (fails(529), "RateLimitError", "rate_limit_error", "rate_limited"),
        (fails(500), "InternalServerError", "api_error", "unavailable"),
        (fails(401), "InternalServerError", "api_error", "credential_refused"),
        (answers(b"<html>"), "InternalServerError", "api_error", "malformed"),
        (stalls(), "InternalServerError", "timeout_error", "timeout"),
    ],
    ids=["429", "529", "500", "401", "a page", "stalled"],
)
async def test_failures_are_the_sdks_own(
    over: Gateway,
    behaviour: Behaviour,
    expected: str,
    kind: str,
    code: str,
) -> None:
    over.upstream.behaviour = behaviour
    with pytest.raises(anthropic.APIStatusError) as caught:
        await over.sdk.messages.create(**ASK)
    assert isinstance(caught.value, getattr(anthropic, expected))
    assert (caught.value.type, caught.value.error_code) == (kind, f"upstream_{code}")


async def test_a_rate_limit_says_when_to_return(over: Gateway) -> None:
    over.upstream.behaviour = fails(429, retry_after="7")
    with pytest.raises(anthropic.RateLimitError) as caught:
        await over.sdk.messages.create(**ASK)
    assert caught.value.response.headers["retry-after"] == "7"


async def test_requests_that_cannot_be_served(others: Gateway) -> None:
    sdk = others.sdk
    with pytest.raises(anthropic.NotFoundError) as unknown:
        await sdk.messages.create(**{**ASK, "model": "gpt-9"})
    assert (unknown.value.type, unknown.value.error_code) == ("not_found_error", "model_not_found")
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        await sdk.post(
            "/v1/messages", body={**ASK, "max_tokens": None}, cast_to=anthropic.types.Message
        )
    search: Any = [{"type": "web_search_20260318", "name": "web_search"}]
    with pytest.raises(anthropic.BadRequestError, match="web_search_20260318"):
        await sdk.messages.create(**ASK, tools=search)
    assert others.upstream.bodies == []


async def test_a_stream_that_fails_after_its_begin(over: Gateway) -> None:
    over.told(
        anthropic=streams(spoken.OPENING, spoken.part("a")),
        compatible=streams(delta(role=True), delta("a")),
    )
    heard: list[str] = []
    with pytest.raises(anthropic.APIStatusError) as caught:
        async with over.sdk.messages.stream(**ASK) as stream:
            heard += [text async for text in stream.text_stream]
    assert caught.value.type == "api_error"
    assert caught.value.error_code == "upstream_truncated"


async def test_it_lists_models(others: Gateway) -> None:
    listed = [model async for model in others.sdk.models.list()]
    assert [(model.id, model.type) for model in listed] == [("m", "model")]


def test_what_the_sdk_knows_is_known() -> None:
    assert set(FINISH_REASONS) == set(get_args(anthropic.types.StopReason))
    # The SDK's list has no name for a 413; Anthropic's documentation has.
    assert set(ERROR_TYPES.values()) - {"request_too_large"} <= set(
        get_args(anthropic.types.shared.ErrorType)
    )
