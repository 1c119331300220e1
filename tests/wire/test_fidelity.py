"""Real-shaped bodies of vendors' APIs and of servers that speak them, through the whole gateway.

A caller on a real socket, the ingress, the router, a provider and an upstream on another socket:
no path of a document may be lost or changed on the way, in either direction. Only ``model`` is the
provider's own name upstream, and streams of chat completions are asked for their usage. A cluster
is always asked for a stream: its plain answers are put together, to the same documents.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agentcore.llm_gateway.models import PriceOverride, ProviderConfig
from tests.fakes.llm_door import llm_door
from tests.fakes.llm_upstream import Behaviour, Upstream, answers, llm_upstream, streams

CORPUS = {path.stem: path for path in sorted(Path(__file__).parent.glob("*/fidelity/*.json"))}
CHAT = "/v1/chat/completions"
FREE = PriceOverride(input=Decimal(0), output=Decimal(0))
USAGE_ASKED = {"include_usage": True, "include_obfuscation": False, "of_next_year": None}


def recorded(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(CORPUS[name].read_text())
    return found


PLAIN = [name for name in CORPUS if recorded(name)["kind"] != "parallax"]
GATHERED = [name for name in CORPUS if name not in PLAIN]
STREAMED = [name for name in CORPUS if "events" in recorded(name)]
CHATS_STREAMED = [name for name in STREAMED if recorded(name)["path"] == CHAT]


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with llm_upstream() as running:
        yield running


async def passed(upstream: Upstream, body: dict[str, Any], request: dict[str, Any]) -> bytes:
    """What the caller of ``request`` gets, to the last byte."""
    provider = ProviderConfig(
        name="upstream",
        kind=body["kind"],
        base_url=upstream.url if body["kind"] == "parallax" else upstream.v1,
        models={"served": "their/own-Name"},
        price=FREE,
    )
    no_certificates = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    async with llm_door(provider) as door, httpx2.AsyncClient(verify=no_certificates) as client:
        url = door.url.removesuffix("/v1") + body["path"]
        answer = await client.post(url, content=json.dumps(request))
    assert answer.status_code == 200, answer.text
    assert upstream.paths == [body["path"]]
    return answer.content


def differences(ours: Any, theirs: Any, path: str = "") -> Iterator[str]:
    """Paths that one has and the other has not, or that have other values or types."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in ours.keys() | theirs.keys():
            there = f"{path}.{name}"
            if name in ours and name in theirs:
                yield from differences(ours[name], theirs[name], there)
            else:
                yield there
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(mine, other, f"{path}[{index}]")
    elif type(ours) is not type(theirs) or ours != theirs:
        yield path


def frames(events: list[Any]) -> list[bytes]:
    """As the API that they are of writes them; responses name their events."""
    blocks = []
    for event in events:
        data = json.dumps(event, ensure_ascii=False)
        named = "type" in event and "choices" not in event
        head = f"event: {event['type']}\n" if named else ""
        blocks.append(f"{head}data: {data}\n\n".encode())
    return blocks


def with_usage(body: dict[str, Any]) -> list[Any]:
    """The stream of a server that was asked for its usage."""
    events = body["events"]
    if body.get("null_usage"):
        events = [{**event, "usage": None} for event in events]
    head = {name: value for name, value in events[-1].items() if name != "choices"}
    return [*events, {**head, "choices": [], "usage": body["usage"]}]


DONE = b"data: [DONE]\n\n"
COMMENT = b": PROCESSING\n\n"


def streaming(body: dict[str, Any], events: list[Any]) -> tuple[Behaviour, bytes]:
    whole = [*frames(events), DONE] if body["path"] == CHAT else frames(events)
    if body.get("comments"):
        whole.insert(0, COMMENT)
    return streams(*whole), b"".join(whole)


@pytest.mark.parametrize("name", PLAIN)
async def test_nothing_is_lost_of_a_plain_call(upstream: Upstream, name: str) -> None:
    body = recorded(name)
    # As no serialiser of ours would write it.
    raw = json.dumps(body["answer"], indent=3, separators=(" , ", " : ")).encode()
    upstream.behaviour = answers(raw)
    assert await passed(upstream, body, body["request"]) == raw
    sent = json.loads(upstream.raw[0])
    assert list(differences(body["request"], sent)) == [".model"]
    assert sent["model"] == "their/own-Name"


@pytest.mark.parametrize("name", GATHERED)
async def test_nothing_is_lost_of_an_answer_that_is_put_together(
    upstream: Upstream, name: str
) -> None:
    body = recorded(name)
    upstream.behaviour, _ = streaming(body, with_usage(body))
    got = json.loads(await passed(upstream, body, body["request"]))
    assert list(differences(body["answer"], got)) == []
    sent = json.loads(upstream.raw[0])
    added = {".model", ".stream", ".stream_options"}
    assert set(differences(body["request"], sent)) == added


def test_each_vendor_has_its_bodies() -> None:
    found = {(recorded(name)["kind"], recorded(name)["path"]) for name in CORPUS}
    assert found >= {
        ("openai", CHAT),
        ("openai", "/v1/responses"),
        ("openai", "/v1/embeddings"),
        ("compatible", CHAT),
        ("compatible", "/v1/embeddings"),
        ("anthropic", "/v1/messages"),
        ("parallax", CHAT),
    }


@pytest.mark.parametrize("name", STREAMED)
async def test_nothing_is_lost_of_a_stream(upstream: Upstream, name: str) -> None:
    """With its usage, which the caller has asked for."""
    body = recorded(name)
    request = {**body["request"], "stream": True}
    events = body["events"]
    if body["path"] == CHAT:
        request["stream_options"] = USAGE_ASKED
        events = with_usage(body)
    upstream.behaviour, raw = streaming(body, events)
    assert await passed(upstream, body, request) == raw
    assert list(differences(request, json.loads(upstream.raw[0]))) == [".model"]


@pytest.mark.parametrize("name", CHATS_STREAMED)
async def test_usage_is_asked_for_and_nothing_else_is_different(
    upstream: Upstream, name: str
) -> None:
    body = recorded(name)
    request = {**body["request"], "stream": True, "stream_options": {"include_obfuscation": True}}
    upstream.behaviour, _ = streaming(body, with_usage(body))
    got = await passed(upstream, body, request)
    documents = [
        json.loads(block.removeprefix(b"data: "))
        for block in got.removesuffix(b"\n\n").split(b"\n\n")
        if block.startswith(b"data: {")
    ]
    assert list(differences(body["events"], documents)) == []
    assert got.endswith(DONE)
    sent = json.loads(upstream.raw[0])
    changed = set(differences(request, sent))
    assert changed == {".model", ".stream_options.include_usage"}
    assert sent["stream_options"] == {"include_obfuscation": True, "include_usage": True}


def test_differences_are_seen() -> None:
    ours = {"a": 1, "b": [1, {"c": None}], "d": "x"}
    assert list(differences(ours, ours)) == []
    theirs = {"a": 1.0, "b": [True, {}], "e": "x"}
    assert set(differences(ours, theirs)) == {".a", ".b[0]", ".b[1].c", ".d", ".e"}
    assert list(differences([1], [1, 2], "x")) == ["x"]
