from __future__ import annotations

import asyncio
import json

import pytest

from agentcore.kit.clock import SystemClock
from agentcore.llm_gateway import answering
from agentcore.llm_gateway.answering import Watches
from agentcore.llm_gateway.asgi import Message
from agentcore.llm_gateway.ingress import OpenAIEndpoint
from agentcore.llm_gateway.models import CallRecord
from agentcore.llm_gateway.providers.hybrid_router import HybridRouter
from tests.fakes.asgi_call import Call
from tests.fakes.llm_upstream import (
    PAUSE,
    Upstream,
    delta,
    drops,
    stalls,
    streams,
)
from tests.fakes.waiting import eventually
from tests.unit.llm_gateway.conftest import HELLO, Asking


async def test_parts_are_forwarded_as_they_arrive(asking: Asking, upstream: Upstream) -> None:
    upstream.behaviour = streams(delta("a"), then=stalls())
    call = asking({"stream": True})
    async with asyncio.TaskGroup() as group:
        running = group.create_task(call.run())
        await call.arrived.wait()
        assert call.body == delta("a")
        assert not call.complete
        call.leave()
        await running


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_caller_that_leaves_cancels_the_upstream_call(
    asking: Asking, upstream: Upstream, lines: list[CallRecord], stream: bool
) -> None:
    upstream.behaviour = streams(delta("a"), then=stalls()) if stream else stalls()
    call = asking({"stream": stream})
    async with asyncio.TaskGroup() as group:
        group.create_task(call.run())
        await eventually(lambda: upstream.in_flight)
        call.leave()
    await eventually(lambda: upstream.cut_off)
    assert [line.status for line in lines] == ["cancelled"]


async def test_only_answers_that_take_long_are_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "WATCH_AFTER_SECONDS", 0.0)
    watches, begun = Watches(), 0
    release = asyncio.Event()

    async def receive() -> Message:
        nonlocal begun
        begun += 1
        await asyncio.Event().wait()
        raise AssertionError

    async def answered() -> None:
        await release.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(watches.over(answered(), receive))
        await eventually(lambda: begun == 1)
        release.set()
    # One that ends between two glances is never looked after.
    await watches.over(asyncio.sleep(0), receive)
    await watches.over(asyncio.sleep(0), receive)
    assert begun == 1


async def test_a_caller_that_stops_reading_loses_its_stream(
    router: HybridRouter, upstream: Upstream, lines: list[CallRecord]
) -> None:
    endpoint = OpenAIEndpoint(
        lambda: router, clock=SystemClock(), max_body_bytes=10_000, stalled_seconds=0.02
    )
    upstream.behaviour = streams(*[delta("a")] * 3, then=stalls())
    call = Call(endpoint, json.dumps({**HELLO, "stream": True}).encode())
    call.stop_reading()
    await call.run()
    assert call.sent == []
    assert [line.status for line in lines] == ["cancelled"]
    assert router.providers["cheap"].gate.in_flight == 0


async def test_a_stream_that_pauses_is_not_one_that_nobody_reads(
    router: HybridRouter, upstream: Upstream
) -> None:
    endpoint = OpenAIEndpoint(
        lambda: router, clock=SystemClock(), max_body_bytes=10_000, stalled_seconds=0.01
    )
    upstream.behaviour = streams(delta("a"), PAUSE, PAUSE, delta(finish="stop"))
    call = await Call(endpoint, json.dumps({**HELLO, "stream": True}).encode()).run()
    assert call.complete


async def test_a_stream_that_fails_later_ends_with_an_error_and_without_done(
    asking: Asking, upstream: Upstream, lines: list[CallRecord]
) -> None:
    upstream.behaviour = streams(delta("a"), then=drops())
    call = await asking({"stream": True}).run()
    assert call.status == 200
    assert call.complete
    *_, last = call.body.strip().split(b"\n\n")
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "upstream_truncated"
    assert b"[DONE]" not in call.body
    assert lines[0].status == "upstream_truncated"


async def test_a_stream_that_falls_silent_does_not_hang(asking: Asking, upstream: Upstream) -> None:
    upstream.behaviour = streams(delta("a"), then=stalls())
    call = await asking({"stream": True}).run()
    assert b'"upstream_timeout"' in call.body
