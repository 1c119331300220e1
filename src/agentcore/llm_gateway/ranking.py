"""In which order those who may answer are tried."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from agentcore.llm_gateway.candidates import (
    ASSUMED_COMPLETION,
    Pace,
    ProviderState,
    expected_cost,
)
from agentcore.llm_gateway.models import ChatCall, Reason
from agentcore.llm_gateway.policy import Policy


class Weights(NamedTuple):
    """What counts among APIs that could answer."""

    cost: float = 1.0
    latency: float = 0.0
    quality: float = 0.0


COST_ALONE = Weights()


class CostOptimizer:
    """Orders providers by what the call is expected to cost, to take, and to be worth.

    Each is measured against the worst of the field; what is unknown counts as the worst.
    """

    def __init__(self, weights: Weights = COST_ALONE) -> None:
        self._weights = weights

    def select_provider(
        self, request: ChatCall, available_providers: Sequence[ProviderState]
    ) -> str:
        """The name of the one to ask first."""
        return self.rank(request, available_providers)[0].name

    def rank(self, call: ChatCall, available: Sequence[ProviderState]) -> list[ProviderState]:
        if len(available) == 1:
            return list(available)
        if self._weights == COST_ALONE:
            return sorted(available, key=lambda state: expected_cost(state, call))
        scores = self.scores(call, available)
        return sorted(available, key=lambda state: scores[state.name])

    def scores(self, call: ChatCall, available: Sequence[ProviderState]) -> dict[str, float]:
        """By name; the lowest is the best."""
        tokens = call.max_tokens or ASSUMED_COMPLETION
        costs = _shares([expected_cost(state, call) for state in available])
        times = _shares([state.pace.seconds(tokens) for state in available])
        weights = self._weights
        return {
            state.name: weights.cost * cost
            + weights.latency * time
            + weights.quality * (1 - state.traits.quality)
            for state, cost, time in zip(available, costs, times, strict=True)
        }


class Steering(NamedTuple):
    """What operators decided about the traffic: set by the rollout for each call anew.

    ``own_first`` false: own hardware is only the fallback of APIs. ``first``: the canary of the
    model, if this call is one of its share.
    """

    own_first: bool = True
    first: str | None = None


STRAIGHT = Steering()


def steered(
    ordered: list[ProviderState], reason: Reason, call: ChatCall, steering: Steering
) -> tuple[list[ProviderState], Reason]:
    first = ordered[0]
    if not steering.own_first and not call.requires_privacy:
        # Outside the rolled-out share own hardware is what is left when the APIs are not.
        ordered = sorted(ordered, key=_is_own)
    if steering.first is not None:
        canary = steering.first
        ordered = sorted(ordered, key=lambda state: state.name != canary)
        if ordered[0].name == canary:
            return ordered, "canary"
    return ordered, reason if ordered[0] is first else "rollout"


def wished(
    ordered: list[ProviderState], reason: Reason, call: ChatCall, exclusions: dict[str, str]
) -> tuple[list[ProviderState], Reason]:
    policy = call.policy
    first = ordered[0]
    if policy.sort is not None:
        ordered = sorted(ordered, key=lambda state: _sorting(policy, state, call))
    if policy.min_throughput is not None or policy.max_latency is not None:
        ordered = sorted(ordered, key=lambda state: _is_slow(policy, state.pace))
    if policy.order:
        places = {name: place for place, name in enumerate(policy.order)}
        ordered = sorted(ordered, key=lambda state: places.get(state.name, len(places)))
    if not policy.allow_fallbacks:
        kept = [state for state in ordered if state.name in policy.order] or ordered[:1]
        exclusions.update({each.name: "no fallbacks" for each in ordered if each not in kept})
        ordered = kept
    return ordered, reason if ordered[0] is first else "policy"


def _sorting(policy: Policy, state: ProviderState, call: ChatCall) -> float:
    match policy.sort:
        case "throughput":
            return -(state.pace.tokens_per_second or 0.0)
        case "latency":
            return state.pace.seconds(0)
        case _:
            return expected_cost(state, call)


def _is_slow(policy: Policy, pace: Pace) -> bool:
    """Whether it is known to miss what the request would like; nobody is excluded for that."""
    rate, first = pace.tokens_per_second, pace.first_seconds
    least, most = policy.min_throughput, policy.max_latency
    too_few = least is not None and rate is not None and rate < least
    return too_few or (most is not None and first is not None and first > most)


def _is_own(state: ProviderState) -> bool:
    return state.self_hosted


def _shares(values: Sequence[float]) -> list[float]:
    """Each as a share of the largest known one; 1 where nothing is known."""
    worst = max((value for value in values if value != math.inf), default=0.0)
    return [1.0 if value == math.inf else value / worst if worst else 0.0 for value in values]
