"""A real inference server behind the gateway: continuous batching, its own manners, no mock."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from agentcore.llm_gateway.models import ProviderConfig
from benchmarks.inference import MISSING, PYTHON, Server, inference_server
from tests.fakes.llm_door import Door, llm_door
from tests.fakes.waiting import eventually

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason=MISSING)
HELLO = {"messages": [{"role": "user", "content": "Hello there"}], "max_tokens": 12}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with inference_server() as running:
        yield running


@asynccontextmanager
async def gateway(server: Server) -> AsyncIterator[tuple[Door, httpx2.AsyncClient]]:
    own = ProviderConfig(
        name="own",
        kind="compatible",
        base_url=server.url,
        self_hosted=True,
        private=True,
        models={"tiny": server.model, "missing": "not/there"},
    )
    async with llm_door(own) as door, httpx2.AsyncClient(base_url=door.url, timeout=120) as http:
        yield door, http


async def test_it_answers_plain_and_streamed(server: Server) -> None:
    """With keepalive comments, and a usage chunk that calls itself a whole completion."""
    body = {"model": "tiny", "temperature": 0, **HELLO}
    async with gateway(server) as (door, http):
        plain = (await http.post("/chat/completions", json=body)).json()
        streamed = await http.post("/chat/completions", json={**body, "stream": True})
        counted = await http.post(
            "/chat/completions",
            json={**body, "stream": True, "stream_options": {"include_usage": True}},
        )
    said = plain["choices"][0]["message"]["content"]
    assert said
    assert plain["usage"]["completion_tokens"] == 12
    for answer in (streamed, counted):
        chunks = documents(answer.text)
        told = "".join(
            choice["delta"].get("content") or "" for each in chunks for choice in each["choices"]
        )
        assert told == said
        assert answer.text.endswith("data: [DONE]\n\n")
    assert not any(each.get("usage") for each in documents(streamed.text))
    assert documents(counted.text)[-1]["usage"]["completion_tokens"] == 12
    assert [line.status for line in door.lines] == ["success"] * 3
    assert [line.usage and line.usage.completion_tokens for line in door.lines] == [12] * 3


async def test_it_is_spoken_to_in_other_dialects(server: Server) -> None:
    async with gateway(server) as (_, http):
        response = await http.post(
            "/responses", json={"model": "tiny", "input": "Hello", "max_output_tokens": 12}
        )
        message = await http.post("/messages", json={"model": "tiny", **HELLO})
    assert response.json()["output"][0]["content"][0]["text"]
    assert message.json()["content"][0]["text"]


async def test_its_errors_are_strings_and_told_as_such(server: Server) -> None:
    async with gateway(server) as (door, http):
        unknown = await http.post("/chat/completions", json={"model": "missing", **HELLO})
        wrong = await http.post("/chat/completions", json={"model": "tiny", **HELLO, "top_p": 7})
    assert unknown.status_code == 502
    assert unknown.json()["error"]["message"]
    assert wrong.status_code == 400
    assert wrong.json()["error"]
    assert [line.status for line in door.lines] == ["upstream_error", "upstream_rejected"]


async def test_who_leaves_gives_its_place_back(server: Server) -> None:
    endless = {"model": "tiny", **HELLO, "max_tokens": 3000, "stream": True}
    async with gateway(server) as (door, http):
        async with http.stream("POST", "/chat/completions", json=endless) as answer:
            await anext(answer.aiter_bytes())
        await eventually(lambda: door.lines)
        assert [line.status for line in door.lines] == ["cancelled"]
        assert door.router.providers["own"].gate.in_flight == 0


async def test_its_list_of_models_is_read(server: Server) -> None:
    asked = ProviderConfig(name="own", kind="compatible", base_url=server.url, self_hosted=True)
    async with llm_door(asked) as door:
        assert server.model in await door.router.providers["own"].get_available_models()


def documents(text: str) -> list[dict[str, Any]]:
    lines = [line[6:] for line in text.splitlines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]
