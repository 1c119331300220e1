from __future__ import annotations

import pytest

from agentcore.llm_gateway.errors import (
    UpstreamTruncated,
    UpstreamUnavailable,
)
from agentcore.llm_gateway.models import CallRecord, LLMRequest
from agentcore.llm_gateway.providers.openai import OpenAIProvider
from agentcore.llm_gateway.providers.routed import RoutedStream
from agentcore.llm_gateway.transport import ConnectionPool
from tests.fakes.clock import ManualClock
from tests.fakes.llm_provider import FakeProvider
from tests.fakes.llm_upstream import Upstream, delta, drops, says, streams
from tests.unit.llm_gateway.conftest import Build, api_at

ASKED = LLMRequest(model="m", messages=[{"role": "user", "content": "Hello"}], tenant="acme")
GONE = UpstreamUnavailable("gone")


@pytest.fixture
def remote(upstream: Upstream, pool: ConnectionPool, clock: ManualClock) -> OpenAIProvider:
    return api_at(OpenAIProvider, upstream, pool, clock, models={"m": "theirs"})


async def test_a_stream_is_routed(
    build: Build, remote: OpenAIProvider, lines: list[CallRecord]
) -> None:
    assert [part async for part in build(remote).route_stream(ASKED)] == ["Hello ", "there!"]
    assert lines[0].status == "success"
    assert lines[0].ttft_ms is not None
    assert lines[0].usage is not None


async def test_a_stream_falls_over_before_its_first_byte(
    build: Build, remote: OpenAIProvider, upstream: Upstream, cluster: FakeProvider
) -> None:
    cluster.failures = [GONE]
    router = build(cluster, remote)
    assert "".join([part async for part in router.route_stream(ASKED)]) == "Hello there!"
    assert len(upstream.bodies) == 1


async def test_a_stream_that_fails_later_is_settled_as_failed(
    build: Build, remote: OpenAIProvider, upstream: Upstream, lines: list[CallRecord]
) -> None:
    upstream.behaviour = streams(delta("a"), then=drops())
    router = build(remote)
    parts: list[str] = []
    with pytest.raises(UpstreamTruncated):
        parts.extend([part async for part in router.route_stream(ASKED)])
    assert [line.status for line in lines] == ["upstream_truncated"]


async def test_a_stream_left_early_is_settled_once(
    build: Build, remote: OpenAIProvider, upstream: Upstream, lines: list[CallRecord]
) -> None:
    upstream.behaviour = says("one two three four")
    answer = await build(remote).dispatch(ASKED.call(stream=True))
    assert isinstance(answer.reply, RoutedStream)
    await answer.reply.next()
    answer.reply.close()
    answer.reply.close()
    assert [line.status for line in lines] == ["cancelled"]
