"""The catalogue route; the conformance suite of the providers has the chat route."""

from __future__ import annotations

import pytest

from agentcore.kit.clock import SystemClock
from agentcore.llm_gateway import endpoint as module
from agentcore.llm_gateway.admission import FixedLimit, Gate
from agentcore.llm_gateway.endpoint import Endpoint, StreamReply, json_headers
from agentcore.llm_gateway.errors import UpstreamError, UpstreamMalformed
from agentcore.llm_gateway.models import ChatCall, Timeouts
from agentcore.llm_gateway.transport import ConnectionPool, Transport
from agentcore.llm_gateway.wires.chat import ChatWire
from tests.fakes.llm_upstream import Upstream, answers, delta, fails, stalls, streams


@pytest.fixture
def endpoint(pool: ConnectionPool, upstream: Upstream) -> Endpoint:
    transport = Transport(
        pool, upstream.v1, provider="p", connect_seconds=60, headers=json_headers("key")
    )
    clock = SystemClock()
    return Endpoint(
        transport,
        {"chat": ChatWire("p")},
        provider="p",
        timeouts=Timeouts.model_validate({}),
        clock=clock,
        gate=Gate(FixedLimit(None, clock), clock),
    )


async def test_it_lists_what_is_served(endpoint: Endpoint, upstream: Upstream) -> None:
    upstream.models = ["a", "b"]
    assert await endpoint.models() == ["a", "b"]
    assert upstream.headers[0]["Authorization"] == "Bearer key"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"data": {}}'])
async def test_what_is_no_list_is_refused(
    endpoint: Endpoint, upstream: Upstream, body: bytes
) -> None:
    upstream.catalogue = answers(body)
    with pytest.raises(UpstreamMalformed):
        await endpoint.models()


async def test_odd_entries_are_passed_over(endpoint: Endpoint, upstream: Upstream) -> None:
    upstream.catalogue = answers(b'{"data": [{"id": "a"}, {"id": 7}, "b", {}]}')
    assert await endpoint.models() == ["a"]


async def test_a_refused_list_is_an_error(endpoint: Endpoint, upstream: Upstream) -> None:
    upstream.catalogue = fails(500)
    with pytest.raises(UpstreamError):
        await endpoint.models()


async def test_signs_of_life_are_not_kept_without_end(
    endpoint: Endpoint, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONGEST_PRELUDE", 1000)
    upstream.behaviour = streams(b": still here\n\n" * 200, then=stalls())
    with pytest.raises(UpstreamMalformed, match="bytes without content"):
        await endpoint.send(ChatCall("m", {"messages": []}, stream=True), "m")
    assert endpoint.gate.in_flight == 0
    # What is long because of its content is no prelude.
    upstream.behaviour = streams(delta("a" * 5000), delta(finish="stop"))
    reply = await endpoint.send(ChatCall("m", {"messages": []}, stream=True), "m")
    assert isinstance(reply, StreamReply)
    reply.close()


async def test_a_list_in_pages_is_read_to_its_end(endpoint: Endpoint, upstream: Upstream) -> None:
    upstream.models = ["a", "b", "c", "d", "e"]
    upstream.models_per_page = 2
    assert await endpoint.models() == upstream.models
    assert len(upstream.headers) == 3


async def test_a_list_that_runs_in_a_circle_is_left(
    endpoint: Endpoint, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_PAGES", 3)
    upstream.catalogue = answers(b'{"data": [{"id": "a"}], "has_more": true, "last_id": "a"}')
    with pytest.raises(UpstreamMalformed, match="without end"):
        await endpoint.models()
    assert len(upstream.headers) == 3


async def test_a_call_may_have_headers_of_its_own(pool: ConnectionPool, upstream: Upstream) -> None:
    clock = SystemClock()
    endpoint = Endpoint(
        Transport(pool, upstream.v1, provider="p", connect_seconds=60, headers={}),
        {"chat": ChatWire("p")},
        provider="p",
        timeouts=Timeouts.model_validate({}),
        clock=clock,
        gate=Gate(FixedLimit(None, clock), clock),
        headers=lambda call: b"x-tenant: %b\r\n" % call.tenant.encode(),
    )
    for tenant in ("one", "two"):
        await endpoint.send(ChatCall("m", {"messages": []}, tenant=tenant), "m")
    assert [seen["x-tenant"] for seen in upstream.headers] == ["one", "two"]
    assert upstream.bodies == [{"messages": [], "model": "m"}] * 2
