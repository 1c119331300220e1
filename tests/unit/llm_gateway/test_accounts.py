from __future__ import annotations

from decimal import Decimal

import pytest
from prometheus_client import CollectorRegistry

from agentcore.kit.ids import Ids
from agentcore.llm_gateway.accounts import (
    CANCELLED,
    SUCCESS,
    Accounts,
    Outcome,
    RoutingStats,
    statistics,
)
from agentcore.llm_gateway.clearance import Destination
from agentcore.llm_gateway.models import CallRecord, ChatCall, TokenUsage
from agentcore.llm_gateway.prices import FlatPrice
from tests.fakes.clock import ManualClock

ONE = Decimal(1)
CALL = ChatCall(model="m", body={}, tenant="acme", requires_privacy=True)
USAGE = TokenUsage(1_000_000, 500_000, 1_500_000)
API = Outcome(
    id=Ids().new(),
    call=CALL,
    destination=Destination("cheap"),
    price=FlatPrice(ONE, ONE, ONE),
    reason="cluster_saturated",
    status=SUCCESS,
    began=0.0,
    first_chunk=0.5,
    usage=USAGE,
)
OWN = API._replace(
    destination=Destination("cluster", self_hosted=True),
    price=FlatPrice(ONE / 10, ONE / 10, ONE / 10),
    reason="cost_optimization",
)


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


async def test_an_answer_of_an_api(
    accounts: Accounts, lines: list[CallRecord], clock: ManualClock, registry: CollectorRegistry
) -> None:
    clock.advance(2.0)
    assert accounts.settle(API) == Decimal("1.5")
    line = lines[0]
    assert (line.kind, line.latency_ms, line.ttft_ms) == ("api", 2000.0, 500.0)
    assert line.api_equivalent_usd is None
    assert line.private
    assert value(registry, "llm_requests_total", provider="cheap", status="success") == 1
    assert value(registry, "api_request_latency_seconds_sum", provider="cheap") == 2.0
    assert value(registry, "parallax_api_overflow_cost_dollars_total") == 1.5
    assert value(registry, "llm_cost_dollars_total", provider="cheap") == 1.5
    spoken = value(
        registry, "gen_ai_client_tokens_total", provider="cheap", model="m", token_type="output"
    )
    assert spoken == 500_000


async def test_an_answer_of_own_hardware(
    accounts: Accounts, lines: list[CallRecord], registry: CollectorRegistry
) -> None:
    assert accounts.settle(OWN) == Decimal("0.15")
    # A million prompt and half a million completion tokens of gpt-5-mini: 0.25 + 1.
    assert lines[0].api_equivalent_usd == Decimal("1.25")
    assert accounts.stats.cost_savings == Decimal("1.1")
    assert value(registry, "parallax_cost_savings_dollars_total") == pytest.approx(1.1)
    assert value(registry, "parallax_requests_total", status="success", model="m") == 1


async def test_savings_are_never_negative(accounts: Accounts) -> None:
    accounts.settle(OWN._replace(price=FlatPrice(ONE * 9, ONE * 9, ONE * 9)))
    assert accounts.stats.cost_savings == 0


async def test_a_cancelled_call_counts_as_such(
    accounts: Accounts, lines: list[CallRecord], registry: CollectorRegistry
) -> None:
    assert accounts.settle(OWN._replace(status=CANCELLED, usage=None)) is None
    assert lines[0].status == "cancelled"
    assert lines[0].cost_usd is None
    assert accounts.stats.total_requests == 0
    assert value(registry, "parallax_requests_total", status="cancelled", model="m") == 1
    assert value(registry, "llm_unpriced_requests_total", provider="cluster") == 0


async def test_an_answer_without_usage_has_no_known_cost(
    accounts: Accounts, registry: CollectorRegistry
) -> None:
    assert accounts.settle(API._replace(usage=None)) is None
    assert value(registry, "llm_unpriced_requests_total", provider="cheap") == 1


async def test_what_a_failed_stream_used_is_paid(
    accounts: Accounts, lines: list[CallRecord]
) -> None:
    assert accounts.settle(API._replace(status="upstream_truncated")) == Decimal("1.5")
    assert lines[0].status == "upstream_truncated"


async def test_attempts_are_counted_and_calls_are_written(
    accounts: Accounts, lines: list[CallRecord], registry: CollectorRegistry
) -> None:
    lost = OWN._replace(status="parallax_timeout", usage=None)
    accounts.failed_attempt(lost)
    assert lines == []
    accounts.write_off(lost)
    assert [line.status for line in lines] == ["parallax_timeout"]
    counted = value(registry, "llm_requests_total", provider="cluster", status="parallax_timeout")
    assert counted == 1
    assert value(registry, "parallax_errors_total", error_type="parallax_timeout") == 1


def test_statistics_of_nothing() -> None:
    assert statistics(RoutingStats()) == {
        "total_requests": 0,
        "parallax_requests": 0,
        "parallax_percentage": 0.0,
        "api_requests_by_provider": {},
        "avg_latency_parallax": None,
        "avg_latency_api": None,
        "cost_savings": Decimal(0),
        "api_cost": Decimal(0),
        "routing_reasons": {},
    }


def test_averages() -> None:
    stats = RoutingStats()
    stats.record_parallax_request(100.0)
    stats.record_parallax_request(200.0)
    stats.record_api_request(provider="cheap", latency_ms=50.0, cost=Decimal("0.5"))
    stats.record_api_request(provider="cheap", latency_ms=50.0, cost=None)
    assert stats.api_cost == Decimal("0.5")
    assert stats.avg_latency_parallax == 150.0
    assert stats.avg_latency_api == 50.0
    assert stats.parallax_percentage == 50.0
