from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.kit.errors import InvalidInput
from agentcore.llm_gateway.cost_analyzer import (
    API_MIX,
    NEVER,
    PROMPT_SHARE,
    Appraisal,
    CostAnalyzer,
    Investment,
    Observed,
    appraise,
    blended_rates,
    break_even_months,
    percent,
)
from tests.fakes.clock import ManualClock

# One rate per model, input as output: what the specification assumes.
SEED_RATES = {"gpt-5-mini": 0.002, "claude-haiku-4-5": 0.0015, "gemini-2.5-flash": 0.001}
L4 = Investment(nodes=4, upfront_per_node=Decimal(2000), monthly_hosting_per_node=Decimal(50))


@pytest.mark.promise("000-usage-cost-analyzer")
def test_usage_000_cost_analyzer(capsys: pytest.CaptureFixture[str]) -> None:
    analyzer = CostAnalyzer()

    api_cost = analyzer.calculate_api_only_cost(daily_requests=10000, avg_tokens_per_request=500)
    print("API-Only Annual Cost:", api_cost)  # noqa: T201 - the specification's example prints

    parallax_cost = analyzer.calculate_parallax_hybrid_cost(
        daily_requests=10000, avg_tokens_per_request=500, parallax_coverage=0.8
    )
    print("Parallax Hybrid Cost:", parallax_cost)  # noqa: T201 - the specification's example prints

    assert "annual_cost" in capsys.readouterr().out
    assert api_cost["annual_tokens"] == 1_825_000_000
    whole = parallax_cost["annual_hosting_cost"] + parallax_cost["annual_api_overflow_cost"]
    assert parallax_cost["total_annual_cost"] == whole


def test_at_the_librarys_prices_the_cluster_does_not_pay(clock: ManualClock) -> None:
    rates = blended_rates(API_MIX, PROMPT_SHARE, clock.now())
    analyzer = CostAnalyzer(rates)
    # Three tokens read for each written: USD 1.11375 per million, below the hosting alone.
    assert analyzer.calculate_api_only_cost(10_000)["annual_cost"] == Decimal("2032.593750")
    hybrid = analyzer.calculate_parallax_hybrid_cost(10_000)
    assert hybrid["annual_hosting_cost"] == 2400
    assert round(hybrid["annual_savings_vs_api"]) == -774
    assert hybrid["break_even_months"] == float("inf")
    assert round(hybrid["roi_year_1"]) == -432
    assert round(hybrid["roi_year_2"]) == -38


def test_the_specifications_own_figures_do_not_follow_from_its_code() -> None:
    """Printed there: 3650 a year, 520 saved, 15.4 months, -77 %, 14 %."""
    analyzer = CostAnalyzer(SEED_RATES)
    api_only = analyzer.calculate_api_only_cost(10_000, 500)
    assert api_only["daily_tokens"] == 5_000_000
    assert api_only["annual_tokens"] == 1_825_000_000
    assert api_only["annual_cost"] == Decimal("3011.25")
    assert api_only["daily_cost"] == Decimal("8.25")
    hybrid = analyzer.calculate_parallax_hybrid_cost(10_000, 500, 0.8)
    assert hybrid["upfront_cost"] == 8000
    assert hybrid["annual_api_overflow_cost"] == Decimal("602.25")
    assert hybrid["total_annual_cost"] == Decimal("3002.25")
    assert hybrid["annual_savings_vs_api"] == 9
    assert round(hybrid["break_even_months"]) == 10_667
    assert round(hybrid["roi_year_1"]) == -265
    assert round(hybrid["roi_year_2"], 1) == Decimal("0.3")
    # From its own printed savings of 520 a year:
    assert round(break_even_months(Decimal(8000), Decimal(520) / 12), 1) == Decimal("184.6")
    assert round(percent(Decimal(520 - 8000), Decimal(3650))) == -205


def test_prices_are_the_librarys_of_that_day(clock: ManualClock) -> None:
    mix = {"gpt-5-mini": Decimal(1)}
    assert blended_rates(mix, Decimal("0.75"), clock.now()) == {"gpt-5-mini": Decimal("0.0006875")}
    assert blended_rates(mix, Decimal(1), clock.now()) == {"gpt-5-mini": Decimal("0.00025")}
    with pytest.raises(InvalidInput, match="'no-such-model'"):
        blended_rates({"no-such-model": Decimal(1)}, Decimal(1), clock.now())


def test_nodes_are_what_they_cost() -> None:
    analyzer = CostAnalyzer(SEED_RATES)
    nodes = analyzer.parallax_costs["gpu_nodes"]
    assert nodes["apple_m2_max"] == {"upfront": 3000, "monthly_hosting": 0}
    nodes["nvidia_l4"]["monthly_hosting"] = Decimal(0)
    free = analyzer.calculate_parallax_hybrid_cost(10_000)
    assert free["annual_savings_vs_api"] == Decimal(2409)
    # The next one begins with the same nodes.
    assert CostAnalyzer(SEED_RATES).parallax_costs["gpu_nodes"]["nvidia_l4"][
        "monthly_hosting"
    ] == Decimal(50)
    with pytest.raises(InvalidInput, match=r"parallax_coverage is 1\.5"):
        analyzer.calculate_parallax_hybrid_cost(1, 1, 1.5)


def test_what_was_observed_is_projected() -> None:
    observed = Observed(days=73, saved_usd=Decimal(2000), api_usd=Decimal(10), unpriced=1)
    found = appraise(observed, L4)
    # 10,000 a year, less 2,400 for hosting.
    assert round(found.monthly_savings * 12, 9) == 7600
    assert round(found.break_even_months, 3) == Decimal("12.632")
    assert round(found.balance(12), 9) == -400
    assert round(found.roi_percent(24), 9) == 90


def test_what_saves_nothing_never_pays() -> None:
    found = appraise(Observed(days=30, saved_usd=Decimal(0), api_usd=Decimal(0)), L4)
    assert found.monthly_savings == -200
    assert found.break_even_months == NEVER
    with pytest.raises(InvalidInput, match="no calls"):
        appraise(Observed(days=0, saved_usd=Decimal(0), api_usd=Decimal(0)), L4)


AMOUNT = st.decimals(0, 10**6, places=2)


@given(
    days=st.integers(1, 400),
    saved=AMOUNT,
    nodes=st.integers(0, 64),
    upfront=AMOUNT,
    hosting=st.decimals(0, 10**4, places=2),
)
def test_at_the_break_even_nothing_is_left_to_be_earned(
    days: int, saved: Decimal, nodes: int, upfront: Decimal, hosting: Decimal
) -> None:
    investment = Investment(nodes=nodes, upfront_per_node=upfront, monthly_hosting_per_node=hosting)
    found = appraise(Observed(days=days, saved_usd=saved, api_usd=Decimal(0)), investment)
    months = found.break_even_months
    if months == NEVER:
        assert found.monthly_savings <= 0 < investment.upfront
        assert found.balance(1000) <= found.balance(1)
    elif investment.upfront:
        assert abs(found.balance(months)) <= investment.upfront * Decimal("1e-20")
        assert abs(found.roi_percent(months)) < Decimal("1e-15")
    else:
        assert months == 0
        assert isinstance(found, Appraisal)


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [(1, 4, 25), (0, 0, 0), (5, 0, NEVER), (-5, 0, -NEVER)],
)
def test_percent(part: int, whole: int, expected: Decimal) -> None:
    assert percent(Decimal(part), Decimal(whole)) == expected
