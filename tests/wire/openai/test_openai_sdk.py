"""OpenAI's own SDK as the judge of responses and embeddings, over real sockets on both sides.

``native`` is a provider whose API has responses, ``translated`` one that is asked by chat
completions: a caller must not be able to tell them apart.
"""

from __future__ import annotations

import base64
import json
import ssl
import struct
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from aiohttp import web
from openai import APIError, AsyncOpenAI, BadRequestError, NotFoundError
from openai.types.responses import Response, ResponseFunctionToolCall
from pydantic import BaseModel

from agentcore.llm_gateway.models import PriceOverride, ProviderConfig, ProviderKind
from tests.fakes.llm_door import Door, llm_door
from tests.fakes.llm_upstream import (
    PAUSE,
    Behaviour,
    Upstream,
    answers,
    delta,
    event,
    fails,
    llm_upstream,
    streams,
    usage_event,
)

WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
KINDS: dict[str, ProviderKind] = {"native": "openai", "translated": "compatible"}


class Place(BaseModel):
    city: str
    people: int


ROME = '{"city": "Rome", "people": 2800000}'


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with llm_upstream() as running:
        yield running


def provider(upstream: Upstream, kind: ProviderKind) -> ProviderConfig:
    url = upstream.url if kind == "parallax" else upstream.v1
    models = {"m": "theirs"}
    free = PriceOverride(input=Decimal(0), output=Decimal(0))
    return ProviderConfig(name="upstream", kind=kind, base_url=url, models=models, price=free)


@pytest.fixture(params=KINDS)
async def door(request: pytest.FixtureRequest, upstream: Upstream) -> AsyncIterator[Door]:
    async with llm_door(provider(upstream, KINDS[request.param])) as opened:
        yield opened


@pytest.fixture
async def sdk(door: Door) -> AsyncIterator[AsyncOpenAI]:
    async with client_of(door) as client:
        yield client


def client_of(door: Door) -> AsyncOpenAI:
    # Without the certificates of all the world, which take longer to read than a test to run.
    http = httpx2.AsyncClient(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    return AsyncOpenAI(base_url=door.url, api_key="k", max_retries=0, http_client=http)


USAGE = {"input_tokens": 12, "output_tokens": 3, "total_tokens": 15}
USAGE_DETAILS = {
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 0},
}


def native(*output: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1760000000,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": "theirs",
        "output": list(output),
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": {**USAGE, **USAGE_DETAILS},
        **more,
    }


def message(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }


CALLED = {
    "id": "fc_1",
    "type": "function_call",
    "call_id": "call_1",
    "name": "weather",
    "arguments": '{"city":"Rome"}',
    "status": "completed",
}


def chat(**told: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1760000000,
        "model": "theirs",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": None, **told},
                "finish_reason": "tool_calls" if "tool_calls" in told else "stop",
            }
        ],
        "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
    }


CALLED_THERE = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city":"Rome"}'},
}


def either(path: str, plain: dict[str, Any], chatted: dict[str, Any]) -> Behaviour:
    """Answer in the API that was asked."""

    async def behave(request: web.Request) -> web.StreamResponse:
        return web.json_response(plain if request.path.endswith(path) else chatted)

    return behave


def responding(item: dict[str, Any], told: dict[str, Any]) -> Behaviour:
    return either("/responses", native(item), chat(**told))


def told(kind: str, **members: Any) -> bytes:
    data = json.dumps({"type": kind, "sequence_number": 0, **members})
    return f"event: {kind}\ndata: {data}\n\n".encode()


def spoken(*pieces: str, end: bool = True) -> Behaviour:
    """The same stream in the API that was asked, up to its end or to an error instead."""
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    whole = message("".join(pieces))
    empty = {**whole, "status": "in_progress", "content": []}
    part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    events = [
        told("response.created", response=native(status="in_progress", usage=None)),
        told("response.output_item.added", output_index=0, item=empty),
        told("response.content_part.added", **place, part=part),
        *(told("response.output_text.delta", **place, delta=each, logprobs=[]) for each in pieces),
        PAUSE,
    ]
    chunks = [*(delta(each) for each in pieces), PAUSE]
    if end:
        events += [
            told("response.output_text.done", **place, text="".join(pieces), logprobs=[]),
            told("response.output_item.done", output_index=0, item=whole),
            told("response.completed", response=native(whole)),
        ]
        chunks += [delta(finish="stop"), usage_event(), event("[DONE]")]
    else:
        failed = native(status="failed", error={"code": "server_error", "message": "boom"})
        events.append(told("response.failed", response=failed))
        chunks.append(event({"error": {"message": "boom"}}))

    async def behave(request: web.Request) -> web.StreamResponse:
        asked = events if request.path.endswith("/responses") else chunks
        return await streams(*asked)(request)

    return behave


async def test_a_text(sdk: AsyncOpenAI, upstream: Upstream) -> None:
    upstream.behaviour = responding(message("Hello!"), {"content": "Hello!"})
    response = await sdk.responses.create(model="m", input="Hi", instructions="Be brief")
    assert response.output_text == "Hello!"
    assert response.status == "completed"
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens) == (12, 3)
    assert upstream.bodies[0]["model"] == "theirs"


async def test_a_conversation_with_a_tool(sdk: AsyncOpenAI, upstream: Upstream) -> None:
    upstream.behaviours = [
        responding(CALLED, {"tool_calls": [CALLED_THERE]}),
        responding(message("Sunny."), {"content": "Sunny."}),
    ]
    history: list[Any] = [{"role": "user", "content": "Weather in Rome?"}]
    first = await sdk.responses.create(model="m", input=history, tools=[WEATHER], store=False)
    (call,) = first.output
    assert isinstance(call, ResponseFunctionToolCall)
    assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Rome"})
    history += [item.model_dump() for item in first.output]
    history.append({"type": "function_call_output", "call_id": call.call_id, "output": "sun"})
    second = await sdk.responses.create(model="m", input=history, tools=[WEATHER], store=False)
    assert second.output_text == "Sunny."
    asked = json.dumps(upstream.bodies[1])
    assert "call_1" in asked
    assert "sun" in asked


async def test_a_structured_answer(sdk: AsyncOpenAI, upstream: Upstream) -> None:
    upstream.behaviour = responding(message(ROME), {"content": ROME})
    response = await sdk.responses.parse(model="m", input="Where?", text_format=Place)
    assert response.output_parsed == Place(city="Rome", people=2_800_000)


async def test_a_stream(sdk: AsyncOpenAI, upstream: Upstream) -> None:
    upstream.behaviour = spoken("Hel", "lo!")
    stream = await sdk.responses.create(model="m", input="Hi", stream=True)
    events = [each async for each in stream]
    text = "".join(each.delta for each in events if each.type == "response.output_text.delta")
    assert text == "Hello!"
    assert events[-1].type == "response.completed"
    assert isinstance(events[-1].response, Response)
    assert events[-1].response.output_text == "Hello!"


async def test_a_structured_stream(sdk: AsyncOpenAI, upstream: Upstream) -> None:
    upstream.behaviour = spoken(ROME[:9], ROME[9:])
    async with sdk.responses.stream(model="m", input="Where?", text_format=Place) as stream:
        response = await stream.get_final_response()
    assert response.output_parsed == Place(city="Rome", people=2_800_000)
    assert response.usage is not None


async def test_a_streamed_call_of_a_tool(upstream: Upstream) -> None:
    def part(**function: Any) -> bytes:
        call = {"index": 0, "function": function}
        if "name" in function:
            call |= {"id": "call_1", "type": "function"}
        choice = {"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}
        return event({"id": "chatcmpl-1", "created": 1, "model": "theirs", "choices": [choice]})

    upstream.behaviour = streams(
        part(name="weather", arguments=""),
        part(arguments='{"city":'),
        part(arguments='"Rome"}'),
        delta(finish="tool_calls"),
        event("[DONE]"),
    )
    async with (
        llm_door(provider(upstream, "compatible")) as door,
        client_of(door) as sdk,
        sdk.responses.stream(model="m", input="Weather?", tools=[WEATHER]) as stream,
    ):
        snapshots = [
            each.snapshot
            async for each in stream
            if each.type == "response.function_call_arguments.delta"
        ]
        response = await stream.get_final_response()
    assert snapshots[-1] == '{"city":"Rome"}'
    (call,) = response.output
    assert isinstance(call, ResponseFunctionToolCall)
    assert call.call_id == "call_1"


async def test_a_stream_that_fails_raises(sdk: AsyncOpenAI, upstream: Upstream) -> None:
    upstream.behaviour = spoken("Hel", "lo!", end=False)
    stream = await sdk.responses.create(model="m", input="Hi", stream=True)
    seen: set[str] = set()

    async def read() -> None:
        async for each in stream:
            seen.add(each.type)

    with pytest.raises(APIError, match="boom") as caught:
        await read()
    assert "response.output_text.delta" in seen
    assert "response.completed" not in seen
    assert caught.value.code == "upstream_unavailable"


async def test_a_refusal_is_the_providers_own(sdk: AsyncOpenAI, upstream: Upstream) -> None:
    error = {"message": "too long", "type": "invalid_request_error", "param": "input", "code": "x"}
    upstream.behaviour = fails(400, {"error": error})
    with pytest.raises(BadRequestError, match="too long") as caught:
        await sdk.responses.create(model="m", input="Hi")
    assert (caught.value.param, caught.value.code) == ("input", "x")


async def test_refusals_of_the_gateway(sdk: AsyncOpenAI, upstream: Upstream) -> None:
    with pytest.raises(BadRequestError) as empty:
        await sdk.responses.create(model="m", input=[])
    assert empty.value.param == "input"
    with pytest.raises(BadRequestError) as later:
        await sdk.responses.create(model="m", input="Hi", background=True)
    assert later.value.param == "background"
    with pytest.raises(NotFoundError):
        await sdk.responses.create(model="gpt-9", input="Hi")
    assert upstream.bodies == []


async def test_built_in_tools_and_kept_state_need_openai(upstream: Upstream) -> None:
    async with (
        llm_door(provider(upstream, "compatible")) as door,
        client_of(door) as sdk,
    ):
        with pytest.raises(BadRequestError, match=r"'web_search'.*upstream is asked by") as tool:
            await sdk.responses.create(model="m", input="Hi", tools=[{"type": "web_search"}])
        assert tool.value.param == "tools[0].type"
        with pytest.raises(BadRequestError, match="no response is kept"):
            await sdk.responses.create(model="m", input="Hi", store=True)
        with pytest.raises(BadRequestError, match="nothing is kept here"):
            await sdk.responses.create(model="m", input="Hi", previous_response_id="resp_1")
    assert upstream.bodies == []


async def embedded(request: web.Request) -> web.StreamResponse:
    """As OpenAI does: numbers in base64 where asked for."""
    body = await request.json()
    inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
    vectors: list[Any] = [[0.5, float(number)] for number in range(len(inputs))]
    if body.get("encoding_format") == "base64":
        vectors = [base64.b64encode(struct.pack("<2f", *each)).decode() for each in vectors]
    data = [
        {"object": "embedding", "index": index, "embedding": vector}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": 5, "total_tokens": 5}
    return web.json_response({"object": "list", "data": data, "model": "theirs", "usage": usage})


@pytest.mark.parametrize("encoding", [{}, {"encoding_format": "float"}], ids=["default", "float"])
async def test_embeddings(sdk: AsyncOpenAI, door: Door, upstream: Upstream, encoding: Any) -> None:
    upstream.behaviour = embedded
    answer = await sdk.embeddings.create(model="m", input=["one", "two"], **encoding)
    assert [each.embedding for each in answer.data] == [[0.5, 0.0], [0.5, 1.0]]
    assert answer.usage.prompt_tokens == 5
    assert upstream.paths == ["/v1/embeddings"]
    assert upstream.bodies[0].get("encoding_format") == encoding.get("encoding_format", "base64")
    (line,) = door.lines
    assert line.usage is not None
    assert (line.usage.prompt_tokens, line.usage.completion_tokens) == (5, 0)


async def test_embeddings_of_somebody_who_has_none(upstream: Upstream) -> None:
    async with (
        llm_door(provider(upstream, "parallax")) as door,
        client_of(door) as sdk,
    ):
        with pytest.raises(BadRequestError, match="no provider of 'm' serves embeddings") as caught:
            await sdk.embeddings.create(model="m", input="one")
        assert (caught.value.code, caught.value.param) == ("dialect_not_served", "model")
    assert upstream.bodies == []


async def test_half_of_the_embeddings_are_none(sdk: AsyncOpenAI, upstream: Upstream) -> None:
    one = {"object": "list", "data": [{"index": 0, "embedding": [1.0]}], "model": "theirs"}
    upstream.behaviour = answers(json.dumps(one).encode())
    with pytest.raises(APIError, match="1 embeddings for 2 inputs"):
        await sdk.embeddings.create(model="m", input=["one", "two"])
