from __future__ import annotations

import asyncio

import pytest

from agentcore.kit.supervisor import Supervisor
from agentcore.llm_gateway.admission import FixedLimit, Gate
from agentcore.llm_gateway.clearance import Cleared
from agentcore.llm_gateway.endpoint import StreamReply
from agentcore.llm_gateway.errors import (
    ParallaxCapacityError,
    ParallaxClusterUnavailableError,
    ParallaxTimeoutError,
    UpstreamMalformed,
    UpstreamRejected,
)
from agentcore.llm_gateway.models import LLMRequest, Timeouts
from agentcore.llm_gateway.parallax.cluster_manager import CANARY_SECONDS, ParallaxClusterManager
from agentcore.llm_gateway.parallax.models import LOST_AFTER, STALE_AFTER
from agentcore.llm_gateway.transport import ConnectionPool
from tests.fakes.clock import ManualClock
from tests.fakes.llm_gate import unbounded
from tests.fakes.llm_upstream import Upstream, answers, delta, fails, llm_upstream, stalls, streams
from tests.fakes.waiting import eventually

PATIENT = Timeouts(connect=60, first_byte=60, idle=60, total=60)
HASTY = Timeouts(connect=60, first_byte=0.1, idle=60, total=0.1)
HELLO = LLMRequest(model="Qwen/Qwen3-8B", messages=[{"role": "user", "content": "Hello"}])


def bounded(limit: int, clock: ManualClock) -> Gate:
    return Gate(FixedLimit(limit, clock), clock)


@pytest.fixture
def manager(
    upstream: Upstream, pool: ConnectionPool, clock: ManualClock, request: pytest.FixtureRequest
) -> ParallaxClusterManager:
    timeouts = HASTY if "time_out" in request.node.name else PATIENT
    return ParallaxClusterManager(
        upstream.url, pool=pool, clock=clock, gate=unbounded(clock), timeouts=timeouts
    )


@pytest.fixture
async def watched(
    manager: ParallaxClusterManager, supervisor: Supervisor
) -> ParallaxClusterManager:
    supervisor.start("watch", manager.watch)
    await eventually(lambda: manager.health != "unknown")
    return manager


def asked(manager: ParallaxClusterManager, *, stream: bool = False) -> Cleared:
    return Cleared(HELLO.call(stream=stream), manager.destination)


async def test_status_is_pushed(watched: ParallaxClusterManager, upstream: Upstream) -> None:
    assert watched.health == "ready"
    assert watched.capacity.limit == 8
    upstream.tell(max_running_request=2)
    await eventually(lambda: watched.capacity.limit == 2)
    upstream.tell(status="waiting")
    await eventually(lambda: watched.health == "not_ready")
    upstream.tell(status="available")
    await eventually(lambda: watched.health == "ready")


async def test_silence_is_first_stuck_and_then_down(
    watched: ParallaxClusterManager, clock: ManualClock
) -> None:
    clock.advance(STALE_AFTER + 1)
    assert watched.health == "degraded"
    assert watched.capacity.has_availability()
    clock.advance(LOST_AFTER)
    assert watched.health == "down"
    assert watched.trouble == "down"


async def test_a_lost_cluster_is_found_again(
    pool: ConnectionPool, clock: ManualClock, supervisor: Supervisor
) -> None:
    async with llm_upstream() as upstream:
        upstream.tell()
        manager = ParallaxClusterManager(
            upstream.url, pool=pool, clock=clock, gate=unbounded(clock), timeouts=PATIENT
        )
        supervisor.start("watch", manager.watch)
        await eventually(lambda: manager.health == "ready")
    await eventually(lambda: clock.slept != [])
    assert manager.health == "ready"
    clock.advance(1.1)
    await eventually(lambda: manager.health == "down")
    assert "cannot be reached" in manager.trouble
    assert supervisor.health()["watch"].restarts == 0


async def test_asking_needs_no_watch(manager: ParallaxClusterManager) -> None:
    assert manager.health == "unknown"
    assert await manager.is_healthy()
    assert (await manager.get_capacity()).source == "reported"
    assert await manager.list_models() == ["Qwen/Qwen3-8B"]
    stats = await manager.get_stats()
    assert stats.nodes[0].gpu_utilization is None
    assert stats.in_flight == 0


async def test_a_foreign_server_is_told_from_a_scheduler(
    pool: ConnectionPool, clock: ManualClock, upstream: Upstream
) -> None:
    upstream.status = None
    manager = ParallaxClusterManager(upstream.url, pool=pool, clock=clock, gate=unbounded(clock))
    assert not await manager.is_healthy()
    assert "base_url must be the scheduler's" in manager.trouble


async def test_configured_names_win(
    pool: ConnectionPool, clock: ManualClock, upstream: Upstream
) -> None:
    manager = ParallaxClusterManager(
        upstream.url,
        pool=pool,
        clock=clock,
        models={"small": "Qwen/Qwen3-8B"},
        gate=bounded(3, clock),
    )
    assert manager.served_models() == ("small",)
    assert manager.upstream_model("small") == "Qwen/Qwen3-8B"
    assert manager.upstream_model("Qwen/Qwen3-8B") is None
    capacity = await manager.get_capacity()
    assert (capacity.limit, capacity.source) == (3, "configured")


async def test_the_lower_limit_counts(
    pool: ConnectionPool, clock: ManualClock, upstream: Upstream
) -> None:
    manager = ParallaxClusterManager(upstream.url, pool=pool, clock=clock, gate=bounded(30, clock))
    capacity = await manager.get_capacity()
    assert (capacity.limit, capacity.source) == (8, "reported")


async def test_generate(manager: ParallaxClusterManager, upstream: Upstream) -> None:
    answer = await manager.generate(
        HELLO.model, HELLO.messages, temperature=0.0, max_tokens=5, timeout=60
    )
    assert answer.content == "Hello there!"
    assert answer.usage is not None
    assert (upstream.bodies[0]["temperature"], upstream.bodies[0]["max_tokens"]) == (0.0, 5)
    assert manager.capacity.in_flight == 0


async def test_stream_generate(manager: ParallaxClusterManager) -> None:
    texts = manager.stream_generate(HELLO.model, HELLO.messages)
    assert [text async for text in texts] == ["Hello ", "there!"]
    assert manager.capacity.in_flight == 0


async def test_a_stream_holds_its_slot_until_it_is_closed(
    manager: ParallaxClusterManager, upstream: Upstream
) -> None:
    reply = await manager.send(asked(manager, stream=True))
    assert isinstance(reply, StreamReply)
    assert manager.capacity.in_flight == 1
    while await reply.next():
        pass
    assert manager.capacity.in_flight == 1
    reply.close()
    assert manager.capacity.in_flight == 0


async def test_a_cluster_that_came_back_is_tried_before_it_is_trusted(
    watched: ParallaxClusterManager, upstream: Upstream, clock: ManualClock
) -> None:
    upstream.tell(status="waiting")
    await eventually(lambda: watched.health == "not_ready")
    upstream.behaviours = [fails(503), fails(503)]
    upstream.tell(status="available")
    await eventually(lambda: len(upstream.bodies) == 1)
    await eventually(lambda: watched.health == "not_ready")
    assert "503" in watched.trouble
    await eventually(lambda: CANARY_SECONDS in clock.slept)
    clock.advance(CANARY_SECONDS)
    await eventually(lambda: len(upstream.bodies) == 2)
    assert watched.health == "not_ready"
    await eventually(lambda: clock.slept.count(CANARY_SECONDS) == 2)
    clock.advance(CANARY_SECONDS)
    upstream.tell()
    await eventually(lambda: watched.health == "ready")
    assert upstream.bodies[-1]["max_tokens"] == 1


async def test_a_refusal_of_a_cluster_that_says_it_serves_is_looked_into(
    watched: ParallaxClusterManager, upstream: Upstream
) -> None:
    upstream.behaviours = [fails(503), stalls()]
    with pytest.raises(ParallaxClusterUnavailableError):
        await watched.send(asked(watched))
    assert watched.health == "degraded"
    await eventually(lambda: len(upstream.bodies) == 2)
    await watched.send(asked(watched))
    assert watched.health == "ready"


async def test_a_busy_cluster_has_proved_that_it_works(
    watched: ParallaxClusterManager, upstream: Upstream
) -> None:
    upstream.behaviours = [fails(503), fails(429)]
    with pytest.raises(ParallaxClusterUnavailableError):
        await watched.send(asked(watched))
    await eventually(lambda: watched.health == "ready")


async def test_silence_while_calls_are_under_way_is_being_stuck(
    watched: ParallaxClusterManager, clock: ManualClock
) -> None:
    reply = await watched.send(asked(watched, stream=True))
    assert isinstance(reply, StreamReply)
    clock.advance(LOST_AFTER + 1)
    assert watched.health == "degraded"
    reply.close()
    assert watched.health == "down"


async def test_slots_are_never_oversold(
    manager: ParallaxClusterManager, upstream: Upstream
) -> None:
    await manager.get_capacity()
    upstream.behaviour = streams(delta("a"), then=stalls())
    results = await asyncio.gather(
        *(manager.send(asked(manager, stream=True)) for _ in range(20)), return_exceptions=True
    )
    held = [each for each in results if isinstance(each, StreamReply)]
    assert len(held) == 8
    assert sum(isinstance(each, ParallaxCapacityError) for each in results) == 12
    assert not manager.capacity.has_availability()
    assert manager.trouble == "all slots taken"
    for reply in held:
        reply.close()
    assert manager.capacity.in_flight == 0


async def test_its_failures_have_the_clusters_names(
    manager: ParallaxClusterManager, upstream: Upstream
) -> None:
    busy = {"error": {"message": "busy", "type": "x", "code": "rate_limit_exceeded"}}
    upstream.behaviours = [
        fails(429, busy),
        fails(503),
        answers(b"no"),
        fails(400),
    ]
    for expected in (
        ParallaxCapacityError,
        ParallaxClusterUnavailableError,
        UpstreamMalformed,
        UpstreamRejected,
    ):
        with pytest.raises(expected):
            await manager.send(asked(manager))


async def test_it_has_a_name_for_those_that_time_out(
    manager: ParallaxClusterManager, upstream: Upstream
) -> None:
    upstream.behaviour = stalls()
    with pytest.raises(ParallaxTimeoutError):
        await manager.send(asked(manager))


async def test_a_first_answer_that_is_late_proves_nothing(
    pool: ConnectionPool, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stuck(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    from agentcore.llm_gateway.parallax import scheduler as module

    monkeypatch.setattr(module.Scheduler.status, "__defaults__", (0.05,))
    server = await asyncio.start_server(stuck, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        manager = ParallaxClusterManager(
            f"http://127.0.0.1:{port}", pool=pool, clock=clock, gate=unbounded(clock)
        )
        assert not await manager.is_healthy()
        assert manager.health == "unknown"
        assert manager.capacity.has_availability()


@pytest.mark.parametrize("line", [b"{}\n", b"not json\n", b"\xff\n"])
async def test_a_bad_report_is_no_status(
    pool: ConnectionPool, clock: ManualClock, upstream: Upstream, line: bytes
) -> None:
    upstream.reporting = answers(line, "application/x-ndjson")
    manager = ParallaxClusterManager(upstream.url, pool=pool, clock=clock, gate=unbounded(clock))
    assert not await manager.is_healthy()
    assert "reports no cluster status" in manager.trouble
