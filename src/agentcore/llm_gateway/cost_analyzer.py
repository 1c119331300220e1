"""API against own hardware: what it costs, what it saves, when it has paid for itself.

``CostAnalyzer`` answers for traffic that is assumed (seed 000, section 3.4), :func:`appraise` for
what the ledger has seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypedDict

from agentcore.kit.clock import SYSTEM_CLOCK
from agentcore.kit.errors import InvalidInput
from agentcore.llm_gateway.models import TokenUsage
from agentcore.llm_gateway.prices import MILLION, current_price

NEVER = Decimal("Infinity")
DAYS_PER_YEAR = 365
DAYS_PER_MONTH = Decimal(DAYS_PER_YEAR) / 12
HUNDRED = Decimal(100)
# Prompts are longer than answers: of a call's tokens so many are read.
PROMPT_SHARE = Decimal("0.75")
# Who answers how much of the traffic where there is no own hardware.
API_MIX: Mapping[str, Decimal] = {
    "gpt-5-mini": Decimal("0.5"),
    "claude-haiku-4-5": Decimal("0.3"),
    "gemini-2.5-flash": Decimal("0.2"),
}
CLUSTER_NODES = 4


class NodeCost(TypedDict):
    """USD per node."""

    upfront: Decimal
    monthly_hosting: Decimal


class ApiOnlyCost(TypedDict):
    """USD; a year has 365 days."""

    daily_tokens: int
    annual_tokens: int
    annual_cost: Decimal
    daily_cost: Decimal


class HybridCost(TypedDict):
    """USD and months; ``roi_year_1`` and ``_2`` are percent of what the API alone would cost."""

    upfront_cost: Decimal
    annual_hosting_cost: Decimal
    annual_api_overflow_cost: Decimal
    total_annual_cost: Decimal
    annual_savings_vs_api: Decimal
    break_even_months: Decimal
    roi_year_1: Decimal
    roi_year_2: Decimal


# Of the specification: assumptions, not offers.
GPU_NODES: Mapping[str, NodeCost] = {
    "nvidia_l4": {"upfront": Decimal(2000), "monthly_hosting": Decimal(50)},
    "apple_m2_max": {"upfront": Decimal(3000), "monthly_hosting": Decimal(0)},
}


class CostAnalyzer:
    """Compares APIs with a cluster for an assumed traffic.

    ``api_costs`` are USD per 1000 tokens by model: by default the price library's rates of today,
    blended for prompts and answers. ``parallax_costs`` may be changed in place.
    """

    def __init__(
        self,
        api_costs: Mapping[str, Decimal | float] | None = None,
        *,
        prompt_share: Decimal = PROMPT_SHARE,
    ) -> None:
        given = (
            blended_rates(API_MIX, prompt_share, SYSTEM_CLOCK.now())
            if api_costs is None
            else api_costs
        )
        self.api_costs = {model: Decimal(str(rate)) for model, rate in given.items()}
        self.parallax_costs: dict[str, dict[str, NodeCost]] = {
            "gpu_nodes": {name: node.copy() for name, node in GPU_NODES.items()}
        }

    def calculate_api_only_cost(
        self, daily_requests: int, avg_tokens_per_request: int = 500
    ) -> ApiOnlyCost:
        daily_tokens = daily_requests * avg_tokens_per_request
        annual_tokens = daily_tokens * DAYS_PER_YEAR
        rate = sum((share * self.api_costs[model] for model, share in API_MIX.items()), Decimal(0))
        annual_cost = annual_tokens * rate / 1000
        return {
            "daily_tokens": daily_tokens,
            "annual_tokens": annual_tokens,
            "annual_cost": annual_cost,
            "daily_cost": annual_cost / DAYS_PER_YEAR,
        }

    def calculate_parallax_hybrid_cost(
        self,
        daily_requests: int,
        avg_tokens_per_request: int = 500,
        parallax_coverage: float | Decimal = Decimal("0.8"),
    ) -> HybridCost:
        """Four L4 nodes answer ``parallax_coverage`` of the traffic, APIs the rest."""
        coverage = Decimal(str(parallax_coverage))
        if not 0 <= coverage <= 1:
            raise InvalidInput(
                f"parallax_coverage is {parallax_coverage}", hint="a share from 0 to 1"
            )
        node = self.parallax_costs["gpu_nodes"]["nvidia_l4"]
        upfront = CLUSTER_NODES * node["upfront"]
        hosting = CLUSTER_NODES * node["monthly_hosting"] * 12
        api_only = self.calculate_api_only_cost(daily_requests, avg_tokens_per_request)
        whole = api_only["annual_cost"]
        overflow = whole * (1 - coverage)
        savings = whole - hosting - overflow
        return {
            "upfront_cost": upfront,
            "annual_hosting_cost": hosting,
            "annual_api_overflow_cost": overflow,
            "total_annual_cost": hosting + overflow,
            "annual_savings_vs_api": savings,
            "break_even_months": break_even_months(upfront, savings / 12),
            "roi_year_1": percent(savings - upfront, whole),
            "roi_year_2": percent(savings, whole),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Investment:
    """What own hardware costs, in USD."""

    nodes: int
    upfront_per_node: Decimal
    monthly_hosting_per_node: Decimal

    @property
    def upfront(self) -> Decimal:
        return self.nodes * self.upfront_per_node

    @property
    def monthly_hosting(self) -> Decimal:
        return self.nodes * self.monthly_hosting_per_node


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What the ledger has of some days. ``saved_usd`` is what the calls that own hardware answered
    would have cost on the reference API, less what their tokens cost here.
    """

    days: int
    saved_usd: Decimal
    api_usd: Decimal
    unpriced: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Appraisal:
    """What an investment brings if all goes on as observed."""

    investment: Investment
    observed: Observed
    monthly_savings: Decimal
    break_even_months: Decimal

    def balance(self, months: Decimal | int) -> Decimal:
        """USD gained after so many months; below 0 what is still to be earned."""
        return months * self.monthly_savings - self.investment.upfront

    def roi_percent(self, months: Decimal | int) -> Decimal:
        """The gain after so many months in percent of what was paid upfront."""
        return percent(self.balance(months), self.investment.upfront)


def appraise(observed: Observed, investment: Investment) -> Appraisal:
    """Project what was observed, less hosting, over the time to come.

    Raises:
        InvalidInput: nothing was observed.
    """
    if observed.days < 1:
        raise InvalidInput(
            "the ledger has no calls in this time", hint="take more days, or call models first"
        )
    monthly = observed.saved_usd / observed.days * DAYS_PER_MONTH - investment.monthly_hosting
    return Appraisal(
        investment=investment,
        observed=observed,
        monthly_savings=monthly,
        break_even_months=break_even_months(investment.upfront, monthly),
    )


def break_even_months(upfront: Decimal, monthly_savings: Decimal) -> Decimal:
    """Infinite where nothing is saved; 0 where nothing was paid."""
    if upfront <= 0:
        return Decimal(0)
    return upfront / monthly_savings if monthly_savings > 0 else NEVER


def percent(part: Decimal, whole: Decimal) -> Decimal:
    """Infinite, or minus that, where the whole is nothing and the part is something."""
    if whole == 0:
        return Decimal(0) if part == 0 else NEVER.copy_sign(part)
    return part / whole * HUNDRED


def blended_rates(
    models: Mapping[str, Decimal], prompt_share: Decimal, now: datetime
) -> dict[str, Decimal]:
    """USD per 1000 tokens, of which ``prompt_share`` are read, by the price library.

    Raises:
        InvalidInput: it does not know a model.
    """
    prompt = int(MILLION * prompt_share)
    usage = TokenUsage(prompt, int(MILLION) - prompt, int(MILLION))
    rates: dict[str, Decimal] = {}
    for model in models:
        price = current_price(model, now)
        cost = None if price is None else price.of(usage)
        if cost is None:
            raise InvalidInput(f"the price library does not know {model!r}")
        rates[model] = cost / 1000
    return rates
