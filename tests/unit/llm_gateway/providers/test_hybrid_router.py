from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from agentcore.kit.errors import AgentCoreError, DeadlineExceeded
from agentcore.kit.ids import Ids
from agentcore.kit.resilience import CircuitOpen
from agentcore.llm_gateway.accounts import Accounts
from agentcore.llm_gateway.errors import (
    InvalidChatRequest,
    ParallaxCapacityError,
    PrivacyViolationError,
    PrivateProviderUnavailable,
    UnknownModel,
    UpstreamError,
    UpstreamMalformed,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnavailable,
)
from agentcore.llm_gateway.metrics import GatewayMetrics
from agentcore.llm_gateway.models import CallRecord, Condition, LLMRequest
from agentcore.llm_gateway.prices import PriceBook
from agentcore.llm_gateway.providers.hybrid_router import HybridRouter
from agentcore.llm_gateway.wire import PlainReply
from tests.fakes.clock import ManualClock
from tests.fakes.llm_provider import FakeProvider
from tests.unit.llm_gateway.conftest import Build

ASKED = LLMRequest(model="m", messages=[{"role": "user", "content": "Hello"}], tenant="acme")
PRIVATE = replace(ASKED, requires_privacy=True)
GONE = UpstreamUnavailable("gone")
BUSY = UpstreamRateLimited("busy")
WRONG = UpstreamRejected("wrong", status=400, body=b"{}", provider="p")
UNSAID = InvalidChatRequest("'n' is not to be had here", param="n")
ALSO_UNSAID = InvalidChatRequest("'store' is not to be had here", param="store")


@pytest.mark.promise("000-usage-hybrid-router")
async def test_the_specified_construction(
    cluster: FakeProvider, cheap: FakeProvider, accounts: Accounts, clock: ManualClock, ids: Ids
) -> None:
    router = HybridRouter(
        parallax_provider=cluster,
        api_providers={"openai": cheap},
        accounts=accounts,
        clock=clock,
        ids=ids,
    )
    response = await router.route_request(ASKED)
    assert response.content == "from cluster"
    assert response.provider == "cluster"
    assert response.cost == 0


async def test_an_answer_is_on_the_ledger(
    build: Build, cluster: FakeProvider, lines: list[CallRecord]
) -> None:
    await build(cluster).route_request(replace(ASKED, trace_id="t1", subject="ann"))
    line = lines[0]
    assert (line.provider, line.kind, line.status) == ("cluster", "self_hosted", "success")
    assert (line.tenant, line.subject, line.trace_id) == ("acme", "ann", "t1")
    assert line.reason == "cost_optimization"
    assert line.cost_usd == 0
    # 12 prompt and 3 completion tokens of gpt-5-mini.
    assert line.api_equivalent_usd == Decimal("0.000009")


async def test_an_api_call_costs(
    build: Build, cheap: FakeProvider, lines: list[CallRecord]
) -> None:
    response = await build(cheap).route_request(ASKED)
    assert response.cost == Decimal("0.000015")
    assert lines[0].cost_usd == Decimal("0.000015")
    assert lines[0].api_equivalent_usd is None


async def test_an_unknown_price_is_none_and_counted(
    build: Build, clock: ManualClock, lines: list[CallRecord], registry: CollectorRegistry
) -> None:
    response = await build(FakeProvider("unpriced", clock)).route_request(ASKED)
    assert response.cost is None
    assert lines[0].cost_usd is None
    counted = registry.get_sample_value("llm_unpriced_requests_total", {"provider": "unpriced"})
    assert counted == 1


@pytest.mark.parametrize(
    "failure",
    [
        GONE,
        BUSY,
        UpstreamTimeout("late"),
        UpstreamMalformed("odd"),
        UpstreamTruncated("cut"),
        UpstreamError("404"),
    ],
    ids=str,
)
async def test_a_failure_before_the_answer_falls_over(
    build: Build,
    cluster: FakeProvider,
    cheap: FakeProvider,
    failure: Exception,
    lines: list[CallRecord],
) -> None:
    cluster.failures = [failure]
    response = await build(cluster, cheap).route_request(ASKED)
    assert response.provider == "cheap"
    assert len(cluster.seen) == 1
    assert [(line.provider, line.reason) for line in lines] == [("cheap", "cluster_saturated")]


@pytest.mark.parametrize("failure", [WRONG, DeadlineExceeded("used up")], ids=str)
async def test_what_the_caller_did_wrong_does_not_fall_over(
    build: Build,
    cluster: FakeProvider,
    cheap: FakeProvider,
    failure: AgentCoreError,
    lines: list[CallRecord],
) -> None:
    cluster.failures = [failure]
    with pytest.raises(type(failure)):
        await build(cluster, cheap).route_request(ASKED)
    assert cheap.seen == []
    assert [line.status for line in lines] == [failure.code]


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        (UNSAID, None, None),
        (UNSAID, ALSO_UNSAID, UNSAID),
        (UNSAID, GONE, GONE),
        (GONE, UNSAID, GONE),
    ],
    ids=str,
)
async def test_what_one_cannot_express_another_may(
    build: Build,
    cluster: FakeProvider,
    cheap: FakeProvider,
    first: AgentCoreError,
    second: AgentCoreError | None,
    told: AgentCoreError | None,
) -> None:
    cluster.failures = [first]
    cheap.failures = [] if second is None else [second]
    router = build(cluster, cheap)
    if told is None:
        assert (await router.route_request(ASKED)).provider == "cheap"
        return
    with pytest.raises(type(told)) as caught:
        await router.route_request(ASKED)
    assert caught.value is told


async def test_what_a_private_call_asks_in_vain_is_said(
    build: Build, cluster: FakeProvider, cheap: FakeProvider
) -> None:
    cluster.failures = [UNSAID]
    with pytest.raises(InvalidChatRequest):
        await build(cluster, cheap).route_request(PRIVATE)
    assert cheap.seen == []


async def test_when_all_fail_the_last_says_why(
    build: Build, cluster: FakeProvider, cheap: FakeProvider, lines: list[CallRecord]
) -> None:
    cluster.failures = [GONE]
    cheap.failures = [UpstreamTimeout("late")]
    with pytest.raises(UpstreamTimeout):
        await build(cluster, cheap).route_request(ASKED)
    assert [(line.provider, line.status) for line in lines] == [("cheap", "upstream_timeout")]
    assert lines[0].cost_usd is None


async def test_a_bug_is_no_failure_of_the_provider(
    build: Build, cluster: FakeProvider, cheap: FakeProvider
) -> None:
    cluster.failures = [ZeroDivisionError()]
    with pytest.raises(ZeroDivisionError):
        await build(cluster, cheap).route_request(ASKED)
    assert cheap.seen == []


async def test_a_private_call_stays_when_its_provider_fails(
    build: Build, cluster: FakeProvider, cheap: FakeProvider
) -> None:
    cluster.failures = [GONE]
    with pytest.raises(PrivateProviderUnavailable, match="not sent anywhere else"):
        await build(cluster, cheap).route_request(PRIVATE)
    assert cheap.seen == []


async def test_a_private_call_without_a_private_provider_is_refused(
    build: Build, cheap: FakeProvider, registry: CollectorRegistry
) -> None:
    with pytest.raises(PrivacyViolationError):
        await build(cheap).route_request(PRIVATE)
    refused = registry.get_sample_value("llm_requests_refused_total", {"code": "privacy_violation"})
    assert refused == 1


async def test_a_busy_private_provider_is_busy(build: Build, cluster: FakeProvider) -> None:
    cluster.failures = [UpstreamRateLimited("busy", retry_after=3.0)]
    router = build(cluster)
    with pytest.raises(UpstreamRateLimited):
        await router.route_request(PRIVATE)
    with pytest.raises(ParallaxCapacityError) as caught:
        await router.route_request(PRIVATE)
    assert caught.value.retry_after == 3.0


async def test_a_rate_limited_provider_is_left_alone_for_as_long_as_it_asked(
    build: Build, cluster: FakeProvider, cheap: FakeProvider, clock: ManualClock
) -> None:
    cluster.failures = [UpstreamRateLimited("busy", retry_after=2.0)]
    router = build(cluster, cheap)
    for _ in range(3):
        assert (await router.route_request(ASKED)).provider == "cheap"
    assert len(cluster.seen) == 1
    clock.advance(2.1)
    assert (await router.route_request(ASKED)).provider == "cluster"


async def test_our_own_limit_cools_nobody_down(
    build: Build, cluster: FakeProvider, cheap: FakeProvider
) -> None:
    cluster.failures = [UpstreamRateLimited("full", retry_after=1.0, own_limit=True)]
    router = build(cluster, cheap)
    assert (await router.route_request(ASKED)).provider == "cheap"
    assert (await router.route_request(ASKED)).provider == "cluster"


async def test_a_failing_provider_is_left_alone_and_tried_again(
    build: Build, cluster: FakeProvider, cheap: FakeProvider, clock: ManualClock
) -> None:
    cluster.failures = [GONE] * 5
    router = build(cluster, cheap)
    for _ in range(8):
        assert (await router.route_request(ASKED)).provider == "cheap"
    assert len(cluster.seen) == 5
    clock.advance(10.1)
    assert (await router.route_request(ASKED)).provider == "cluster"


async def test_saturation_never_opens_the_breaker(
    build: Build, cluster: FakeProvider, cheap: FakeProvider, clock: ManualClock
) -> None:
    cluster.failures = [BUSY] * 20
    router = build(cluster, cheap)
    for _ in range(20):
        assert (await router.route_request(ASKED)).provider == "cheap"
        clock.advance(1.1)
    assert (await router.route_request(ASKED)).provider == "cluster"


async def test_rejections_never_open_the_breaker(build: Build, cluster: FakeProvider) -> None:
    cluster.failures = [WRONG] * 20
    router = build(cluster)
    for _ in range(20):
        with pytest.raises(UpstreamRejected):
            await router.route_request(ASKED)
    assert (await router.route_request(ASKED)).provider == "cluster"


async def test_a_cancelled_trial_call_tells_nothing(
    build: Build, cluster: FakeProvider, clock: ManualClock
) -> None:
    cluster.failures = [GONE] * 5
    router = build(cluster)
    for _ in range(5):
        with pytest.raises(UpstreamUnavailable):
            await router.route_request(ASKED)
    clock.advance(10.1)
    cluster.failures = [asyncio.CancelledError()]
    with pytest.raises(asyncio.CancelledError):
        await router.route_request(ASKED)
    # The next call is the trial then.
    assert (await router.route_request(ASKED)).provider == "cluster"


async def test_nobody_left_is_said(build: Build, cluster: FakeProvider) -> None:
    cluster.told = Condition(available=False, why="down")
    with pytest.raises(AgentCoreError, match="cluster: down"):
        await build(cluster).route_request(ASKED)
    with pytest.raises(UnknownModel):
        await build(cluster).route_request(replace(ASKED, model="other"))


async def test_who_is_full_says_when_to_return(build: Build, cluster: FakeProvider) -> None:
    cluster.told = Condition(has_capacity=False, retry_after=17.0)
    with pytest.raises(AgentCoreError, match="full") as caught:
        await build(cluster).route_request(ASKED)
    assert caught.value.retry_after == 17


async def test_a_cancelled_call_is_on_the_ledger(
    build: Build, cluster: FakeProvider, lines: list[CallRecord]
) -> None:
    cluster.failures = [asyncio.CancelledError()]
    with pytest.raises(asyncio.CancelledError):
        await build(cluster).route_request(ASKED)
    assert [line.status for line in lines] == ["cancelled"]


async def test_statistics_have_the_specified_keys(
    build: Build, cluster: FakeProvider, cheap: FakeProvider
) -> None:
    router = build(cluster, cheap)
    for priority in ("high", "low", "medium"):
        await router.route_request(replace(ASKED, priority=priority))
    cluster.told = Condition(has_capacity=False)
    await router.route_request(ASKED)
    stats = await router.get_routing_stats()
    assert stats == {
        "total_requests": 4,
        "parallax_requests": 3,
        "parallax_percentage": 75.0,
        "api_requests_by_provider": {"cheap": 1},
        "avg_latency_parallax": 0.0,
        "avg_latency_api": 0.0,
        "cost_savings": Decimal("0.000027"),
        "api_cost": Decimal("0.000015"),
        "routing_reasons": {"cost_optimization": 2, "default": 1, "cluster_saturated": 1},
    }


async def test_models_and_who_serves_them(build: Build, clock: ManualClock) -> None:
    router = build(
        FakeProvider("cluster", clock, self_hosted=True, models=("m", "n")),
        FakeProvider("cheap", clock, models=("m",)),
        FakeProvider("dear", clock, models=None),
    )
    assert router.models() == {"m": ("cluster", "cheap"), "n": ("cluster",)}


async def test_prices_are_waited_for(
    cluster: FakeProvider, registry: CollectorRegistry, clock: ManualClock, ids: Ids
) -> None:
    book = PriceBook([], reference_model="gpt-5-mini", clock=clock)
    metrics = GatewayMetrics(registry)
    accounts = Accounts(prices=book, metrics=metrics, record=lambda _: None, clock=clock)
    router = HybridRouter(cluster, {}, accounts=accounts, clock=clock, ids=ids)
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(router.route_request(ASKED))
        await asyncio.sleep(0)
        assert cluster.seen == []
        await book.load()
    assert asked.result().provider == "cluster"


FAULTS: list[type[BaseException]] = [
    UpstreamUnavailable,
    UpstreamTimeout,
    UpstreamRateLimited,
    UpstreamMalformed,
    UpstreamTruncated,
    ParallaxCapacityError,
    CircuitOpen,
    DeadlineExceeded,
    ZeroDivisionError,
    asyncio.CancelledError,
]
CONDITIONS = st.builds(Condition, st.booleans(), st.booleans(), st.floats(0, 1), st.just(""))
PROVIDERS = st.lists(
    st.tuples(
        st.booleans(),
        st.booleans(),
        st.sampled_from([("m",), ("m",), ("other",), None]),
        st.lists(st.sampled_from(FAULTS), max_size=4),
        CONDITIONS,
    ),
    min_size=1,
    max_size=5,
)
CALLS = st.lists(st.tuples(st.booleans(), st.booleans(), st.floats(0, 12)), max_size=12)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(providers=PROVIDERS, calls=CALLS)
async def test_private_bytes_never_reach_a_provider_that_is_not_private(
    build: Build,
    clock: ManualClock,
    providers: list[tuple[bool, bool, tuple[str, ...] | None, list[type[Exception]], Condition]],
    calls: list[tuple[bool, bool, float]],
) -> None:
    """Whatever is configured, fails, recovers, is full or falls over."""
    fakes = [
        FakeProvider(
            f"p{number}",
            clock,
            private=private,
            self_hosted=own,
            models=models,
            failures=[fault("fault") for fault in faults],
            condition=condition,
        )
        for number, (private, own, models, faults, condition) in enumerate(providers)
    ]
    router = build(*fakes)
    for private, high, seconds in calls:
        text = "a secret" if private else "a greeting"
        request = LLMRequest(
            model="m",
            messages=[{"role": "user", "content": text}],
            requires_privacy=private,
            priority="high" if high else "low",
        )
        try:
            await router.route_request(request)
        except (AgentCoreError, ZeroDivisionError, asyncio.CancelledError):
            clock.advance(seconds)
    for fake in fakes:
        assert fake.destination.private or not any(b"a secret" in seen for seen in fake.seen)


async def test_a_plain_reply_is_what_was_read(build: Build, cluster: FakeProvider) -> None:
    answer = await build(cluster).dispatch(ASKED.call())
    assert isinstance(answer.reply, PlainReply)
    assert answer.decision.candidates == ("cluster",)
    assert answer.id.version == 7


@pytest.mark.promise("001-capacity-error-fallback")
async def test_capacity_error_falls_back(
    build: Build, cluster: FakeProvider, cheap: FakeProvider
) -> None:
    cluster.failures.append(ParallaxCapacityError("full"))
    router = build(cluster, cheap)
    assert (await router.route_request(ASKED)).provider == "cheap"
    assert router.stats.routing_reasons == {"cluster_saturated": 1}
    cluster.failures.append(ParallaxCapacityError("full"))
    with pytest.raises(ParallaxCapacityError):
        await router.route_request(PRIVATE)
    assert len(cheap.seen) == 1
