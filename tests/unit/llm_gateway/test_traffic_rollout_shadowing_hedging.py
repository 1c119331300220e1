"""What operators steer: shares of own hardware, providers on trial, copies, second questions."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agentcore.kit.clock import SystemClock
from agentcore.kit.jsonvalue import JsonObject
from agentcore.llm_gateway.clearance import Cleared, Destination
from agentcore.llm_gateway.endpoint import Reply
from agentcore.llm_gateway.errors import UpstreamUnavailable
from agentcore.llm_gateway.hedging import Hedges
from agentcore.llm_gateway.models import CallRecord, ChatCall, GatewayConfig
from agentcore.llm_gateway.pace import LEAST
from agentcore.llm_gateway.providers.hybrid_router import HybridRouter
from agentcore.llm_gateway.providers.openai import OpenAIProvider
from agentcore.llm_gateway.providers.routed import Answer
from agentcore.llm_gateway.ranking import STRAIGHT, Steering
from agentcore.llm_gateway.rollout import Rollout
from agentcore.llm_gateway.traffic import HedgeConfig, TrafficConfig
from agentcore.llm_gateway.transport import ConnectionPool
from tests.fakes.clock import ManualClock
from tests.fakes.llm_gate import unbounded
from tests.fakes.llm_provider import FakeProvider
from tests.fakes.llm_upstream import Upstream, delta, stalls, streams
from tests.unit.llm_gateway.conftest import Build

CALL = ChatCall("m", {"model": "m", "messages": [{"role": "user", "content": "secret"}]})
CANARY = {"model": "m", "provider": "dear", "share": 1.0, "least": 3, "margin": 0.2}


def by(caller: int, *, private: bool = False) -> ChatCall:
    return CALL._replace(subject=f"agent-{caller}", requires_privacy=private)


async def answered(router: HybridRouter, call: ChatCall) -> tuple[str, str]:
    answer = await router.dispatch(call)
    return answer.provider, answer.reason


@pytest.mark.parametrize(("share", "least", "most"), [(0.1, 4, 18), (0.5, 38, 62), (0.8, 70, 90)])
def test_a_share_is_kept_and_nobody_changes_sides(share: float, least: int, most: int) -> None:
    rollout = Rollout(TrafficConfig(self_hosted_share=share))
    first = [rollout.steer(by(caller)) for caller in range(100)]
    assert first == [rollout.steer(by(caller)) for caller in range(100)]
    assert least <= sum(each.own_first for each in first) <= most
    wider = Rollout(TrafficConfig(self_hosted_share=min(1.0, share + 0.1)))
    # Who was in stays in when the share grows.
    assert all(wider.steer(by(n)).own_first for n, each in enumerate(first) if each.own_first)


def test_everything_rolled_out_costs_nothing() -> None:
    assert Rollout(TrafficConfig()).steer(CALL) is STRAIGHT


async def test_the_kill_switch_leaves_own_hardware_to_private_calls(
    build: Build, cluster: FakeProvider, cheap: FakeProvider
) -> None:
    router = build(cluster, cheap, self_hosted_share=0)
    assert await answered(router, by(1)) == ("cheap", "rollout")
    assert await answered(router, by(1, private=True)) == ("cluster", "privacy_required")
    cheap.failures.append(UpstreamUnavailable("gone"))
    assert (await answered(router, by(1)))[0] == "cluster"


async def test_a_canary_that_fails_more_is_left(
    build: Build, cluster: FakeProvider, cheap: FakeProvider, dear: FakeProvider
) -> None:
    router = build(cluster, cheap, dear, canaries=[CANARY])
    assert await answered(router, by(1)) == ("dear", "canary")
    dear.failures.extend([UpstreamUnavailable("gone")] * 2)
    for _ in range(2):
        # Nobody notices: the next one answers.
        assert await answered(router, by(1)) == ("cluster", "default")
    assert router.rollout.trials["m"].stopped
    assert await answered(router, by(1)) == ("cluster", "cost_optimization")


async def test_a_canary_is_not_blamed_for_what_all_share(
    build: Build, cheap: FakeProvider, dear: FakeProvider
) -> None:
    router = build(cheap, dear, canaries=[CANARY])
    cheap.failures.extend([UpstreamUnavailable("gone")] * 4)
    dear.failures.extend([UpstreamUnavailable("gone")] * 4)
    for _ in range(4):
        with pytest.raises(UpstreamUnavailable):
            await router.dispatch(by(1))
    assert not router.rollout.trials["m"].stopped


def test_a_canary_is_left_even_where_nobody_else_was_asked() -> None:
    rollout = Rollout(TrafficConfig.model_validate({"canaries": [CANARY]}))
    firsts = []
    for _ in range(4):
        firsts.append(rollout.steer(CALL).first)
        rollout.told(CALL, "dear", answered=False)
    assert firsts == ["dear", "dear", "dear", None]


async def test_copies_say_nothing_about_a_canary(
    build: Build, cluster: FakeProvider, cheap: FakeProvider, dear: FakeProvider
) -> None:
    router = build(cluster, cheap, dear, canaries=[CANARY])
    cheap.failures.extend([UpstreamUnavailable("gone")] * 3)
    for name in ("cheap", "cheap", "cheap", "dear", "cheap"):
        await router.shadow(by(1), name)
    trial = router.rollout.trials["m"]
    assert (list(trial.canary), list(trial.others)) == ([], [])


async def test_a_private_call_is_no_canary(
    build: Build, cluster: FakeProvider, dear: FakeProvider
) -> None:
    router = build(cluster, dear, canaries=[CANARY])
    assert await answered(router, by(1, private=True)) == ("cluster", "privacy_required")
    assert dear.seen == []


async def test_shadows_get_copies_and_nobody_waits_for_them(
    build: Build, cluster: FakeProvider, dear: FakeProvider, lines: list[CallRecord]
) -> None:
    router = build(cluster, dear, shadows=[{"model": "m", "provider": "dear", "share": 0.5}])
    dear.free.clear()
    worker = asyncio.create_task(router.shadows.run(router.shadow))
    streamed: JsonObject = {**CALL.body, "stream": True, "stream_options": {"include_usage": True}}
    for caller in range(4):
        await router.dispatch(by(caller)._replace(body=streamed))
    dear.free.set()
    while len(lines) < 6:
        await asyncio.sleep(0)
    worker.cancel()
    assert Counter((line.provider, line.reason) for line in lines) == {
        ("cluster", "cost_optimization"): 4,
        ("dear", "shadow"): 2,
    }
    assert [orjson.loads(each) for each in dear.seen] == [CALL.body] * 2


async def test_a_private_call_is_never_copied_to_others(
    build: Build, cluster: FakeProvider, dear: FakeProvider
) -> None:
    router = build(cluster, dear, shadows=[{"model": "m", "provider": "dear"}])
    await router.dispatch(by(1, private=True))
    await router.shadow(by(1, private=True), "dear")
    worker = asyncio.create_task(router.shadows.run(router.shadow))
    await router.dispatch(by(1))
    while not dear.seen:
        await asyncio.sleep(0)
    worker.cancel()
    # The open call's copy is the only one that was sent.
    assert len(dear.seen) == 1


async def test_more_copies_than_there_is_room_for_are_dropped(
    build: Build, cluster: FakeProvider, dear: FakeProvider
) -> None:
    shadows = [{"model": "m", "provider": "dear"}]
    router = build(cluster, dear, shadows=shadows, shadow_queue=1)
    for caller in range(3):
        await router.dispatch(by(caller))
    dropped = router.accounts.metrics.registry.get_sample_value("llm_shadows_dropped_total")
    assert dropped == 2


def hedging(build: Build, *providers: FakeProvider, share: float = 1.0) -> HybridRouter:
    router = build(*providers, hedge={"share": share, "floor": 0.001})
    for _ in range(LEAST):
        router.targets[providers[0].destination.name].meter.answered(0.001)
    return router


URGENT = CALL._replace(priority="high")


async def test_who_is_late_is_overtaken_and_let_go(
    build: Build, cluster: FakeProvider, cheap: FakeProvider, lines: list[CallRecord]
) -> None:
    router = hedging(build, cluster, cheap)
    cluster.free.clear()
    answer = await router.dispatch(URGENT)
    assert answer.provider == "cheap"
    assert {line.provider: line.status for line in lines} == {
        "cluster": "cancelled",
        "cheap": "success",
    }


async def test_a_late_one_may_still_be_the_first(
    build: Build, cluster: FakeProvider, cheap: FakeProvider
) -> None:
    router = hedging(build, cluster, cheap)
    cluster.free.clear()
    cheap.free.clear()
    asked = asyncio.create_task(router.dispatch(URGENT))
    while not cheap.seen:
        await asyncio.sleep(0)
    cluster.free.set()
    assert (await asked).provider == "cluster"


async def test_who_leaves_when_an_answer_begins_leaves_no_place_taken(
    build: Build, upstream: Upstream, pool: ConnectionPool, cheap: FakeProvider
) -> None:
    asked: asyncio.Task[Answer]

    class Leaving(OpenAIProvider):
        async def send(self, cleared: Cleared) -> Reply:
            reply = await super().send(cleared)
            asked.cancel()
            return reply

    clock = SystemClock()
    cluster = Leaving(
        upstream.v1,
        pool=pool,
        clock=clock,
        gate=unbounded(clock),
        destination=Destination("cluster", self_hosted=True),
        models={"m": "theirs"},
    )
    upstream.behaviour = streams(delta("a"), then=stalls())
    router = build(cluster, cheap, hedge={"share": 1.0, "floor": 5.0})
    for _ in range(LEAST):
        router.targets["cluster"].meter.began(0.001)
    asked = asyncio.create_task(router.dispatch(URGENT._replace(stream=True)))
    with pytest.raises(asyncio.CancelledError):
        await asked
    await asyncio.sleep(0)
    assert cluster.gate.in_flight == 0


async def test_who_leaves_while_the_loser_is_let_go_leaves_no_place_taken(
    build: Build, upstream: Upstream, remote: OpenAIProvider, clock: ManualClock
) -> None:
    asked: asyncio.Task[Answer]

    class Lingering(FakeProvider):
        async def send(self, cleared: Cleared) -> Reply:
            try:
                return await super().send(cleared)
            except asyncio.CancelledError:
                asked.cancel()
                raise

    cluster = Lingering("cluster", clock, private=True, self_hosted=True)
    cluster.free.clear()
    upstream.behaviour = streams(delta("a"), then=stalls())
    router = build(cluster, remote, hedge={"share": 1.0, "floor": 0.001})
    for _ in range(LEAST):
        router.targets["cluster"].meter.began(0.001)
    asked = asyncio.create_task(router.dispatch(URGENT._replace(stream=True)))
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert remote.gate.in_flight == 0


async def test_when_both_fail_the_third_is_asked(
    build: Build, cluster: FakeProvider, cheap: FakeProvider, dear: FakeProvider
) -> None:
    router = hedging(build, cluster, cheap, dear)
    cluster.free.clear()
    cluster.failures.append(UpstreamUnavailable("gone"))
    cheap.failures.append(UpstreamUnavailable("gone"))
    asked = asyncio.create_task(router.dispatch(URGENT))
    while not cheap.seen:
        await asyncio.sleep(0)
    cluster.free.set()
    assert (await asked).provider == "dear"
    (told,) = router.decisions.read(None, 1)
    assert Counter(told.attempts) == {
        ("cluster", "upstream_unavailable"): 1,
        ("cheap", "upstream_unavailable"): 1,
        ("dear", "success"): 1,
    }


@pytest.mark.parametrize("call", [CALL, URGENT._replace(requires_privacy=True)])
async def test_who_is_not_asked_twice(
    build: Build, cluster: FakeProvider, cheap: FakeProvider, call: ChatCall
) -> None:
    router = hedging(build, cluster, cheap)
    cluster.free.clear()
    asked = asyncio.create_task(router.dispatch(call))
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(asked), 0.02)
    assert cheap.seen == []
    cluster.free.set()
    assert (await asked).provider == "cluster"


async def test_a_cancelled_caller_lets_both_go(
    build: Build, cluster: FakeProvider, cheap: FakeProvider, lines: list[CallRecord]
) -> None:
    router = hedging(build, cluster, cheap)
    cluster.free.clear()
    cheap.free.clear()
    asked: asyncio.Task[Answer] = asyncio.create_task(router.dispatch(URGENT))
    while not cheap.seen:
        await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert sorted((line.provider, line.status) for line in lines) == [
        ("cheap", "cancelled"),
        ("cluster", "cancelled"),
    ]


@given(st.floats(0.01, 1), st.integers(1, 300), st.integers(1, 3))
def test_no_more_than_the_share_is_asked_twice(share: float, calls: int, attempts: int) -> None:
    hedges = Hedges(HedgeConfig(share=share))
    spent = 0
    for _ in range(calls):
        hedges.earn(URGENT)
        for _ in range(attempts):
            assert hedges.patience(URGENT, 0.1) == 0.5
            spent += hedges.spend()
    assert spent <= share * calls + 1e-6
    assert hedges.patience(URGENT, None) is None


def test_traffic_names_providers_that_exist() -> None:
    with pytest.raises(ValidationError, match="'dear', which is none"):
        GatewayConfig.model_validate({"traffic": {"canaries": [CANARY]}})


def test_a_steering_is_about_the_callers_model() -> None:
    rollout = Rollout(TrafficConfig.model_validate({"canaries": [CANARY]}))
    assert rollout.steer(CALL) == Steering(first="dear")
    assert rollout.steer(CALL._replace(model="other")) == STRAIGHT
