"""Who answers: a pure function of the call and of what is known about the providers.

Eligibility comes first (privacy, model, health); only among the eligible does cost decide. The same
list bounds the fallbacks: whoever is not a candidate is never tried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from agentcore.kit.errors import AgentCoreError
from agentcore.llm_gateway.errors import (
    NoEligibleProvider,
    ParallaxCapacityError,
    ParallaxClusterUnavailableError,
    PrivacyViolationError,
    PrivateProviderUnavailable,
    UnknownModel,
    UpstreamRateLimited,
)
from agentcore.llm_gateway.models import ChatCall, ModelInfo, Reason
from agentcore.llm_gateway.prices import Price

BYTES_PER_TOKEN = 4
ASSUMED_COMPLETION = 512
RETRY_SECONDS = 1.0


class ProviderState(NamedTuple):
    """One provider at one moment. ``serves`` None: its models are not known yet.

    ``why`` says what makes it unavailable or saturated; ``retry_after`` when that may end, and
    ``wait`` how long the call would stand in line for it, None where it cannot.
    """

    name: str
    self_hosted: bool
    private: bool
    serves: bool | None
    available: bool = True
    has_capacity: bool = True
    load: float = 0.0
    price: Price | None = None
    why: str = ""
    retry_after: float = RETRY_SECONDS
    wait: float | None = None


class RoutingDecision(NamedTuple):
    """``candidates`` in the order of trial, ``provider`` first; ``exclusions``: name = reason."""

    provider: str
    reason: Reason
    candidates: tuple[str, ...]
    exclusions: Mapping[str, str]


class CostOptimizer:
    """Orders providers by what the call is expected to cost; unknown prices come last."""

    def select_provider(self, call: ChatCall, available: Sequence[ProviderState]) -> ProviderState:
        return self.rank(call, available)[0]

    def rank(self, call: ChatCall, available: Sequence[ProviderState]) -> list[ProviderState]:
        if len(available) == 1:
            return list(available)
        prompt = call.prompt_bytes // BYTES_PER_TOKEN
        completion = call.max_tokens or ASSUMED_COMPLETION
        return sorted(available, key=lambda state: _expected(state, prompt, completion))


def model_info(model: str, snapshot: Sequence[ProviderState]) -> ModelInfo:
    serving = [state for state in snapshot if state.serves]
    alone = len(serving) == 1 and not serving[0].self_hosted
    return ModelInfo(
        id=model,
        providers=tuple(state.name for state in serving),
        exclusive_provider=serving[0].name if alone else None,
    )


def decide(
    call: ChatCall, snapshot: Sequence[ProviderState], optimizer: CostOptimizer
) -> RoutingDecision:
    """Choose the provider for ``call`` and the order of its fallbacks.

    Raises:
        UnknownModel: nobody serves the model.
        PrivacyViolationError: the call is private and no private provider can take it.
        ParallaxCapacityError: only the own cluster could take it, and it is full.
        UpstreamRateLimited: only API providers could take it, and they are saturated.
        ParallaxClusterUnavailableError: only the own cluster serves it, and it is unavailable.
        NoEligibleProvider: everybody who serves the model is unavailable.
    """
    own: list[ProviderState] = []
    api: list[ProviderState] = []
    lines: list[ProviderState] = []
    saturated: list[ProviderState] = []
    exclusions: dict[str, str] = {}
    for state in snapshot:
        why = _why_not(call, state)
        if why is not None:
            exclusions[state.name] = why
        elif state.has_capacity:
            (own if state.self_hosted else api).append(state)
        elif state.wait is not None:
            lines.append(state)
        else:
            exclusions[state.name] = state.why or "saturated"
            saturated.append(state)
    if not own and not api and not lines:
        raise _refusal(call, snapshot, saturated, exclusions)
    if len(own) > 1:
        own.sort(key=_load)
    if len(api) > 1:
        api = optimizer.rank(call, api)
    if lines:
        lines.sort(key=_waiting)
        # What is not urgent waits for own hardware rather than be paid for elsewhere.
        own, lines = ([*own, *lines], []) if call.priority == "low" or not api else (own, lines)
    candidates = tuple([state.name for state in (*own, *api, *lines)])
    reason = _reason(call, snapshot, own_ready=bool(own))
    return RoutingDecision(candidates[0], reason, candidates, exclusions)


def _reason(call: ChatCall, snapshot: Sequence[ProviderState], *, own_ready: bool) -> Reason:
    if call.requires_privacy:
        return "privacy_required"
    if own_ready:
        # Served by own hardware, so no API has it alone.
        return "default" if call.priority == "low" else "cost_optimization"
    if model_info(call.model, snapshot).exclusive_provider is not None:
        return "exclusive_model"
    if any(state.self_hosted and state.serves for state in snapshot):
        return "cluster_saturated"
    return "default"


def _why_not(call: ChatCall, state: ProviderState) -> str | None:
    if call.requires_privacy and not state.private:
        return "not private"
    if state.serves is None:
        return f"its models are not known yet: {state.why}" if state.why else "models unknown yet"
    if not state.serves:
        return "does not serve the model"
    return None if state.available else state.why or "unavailable"


def _refusal(
    call: ChatCall,
    snapshot: Sequence[ProviderState],
    saturated: Sequence[ProviderState],
    exclusions: Mapping[str, str],
) -> AgentCoreError:
    reasons = "; ".join(f"{name}: {why}" for name, why in exclusions.items())
    # Serving is asked of everybody, so that a private call learns what is wrong with it.
    if not any(state.serves is not False for state in snapshot):
        return UnknownModel(
            f"no provider serves the model {call.model!r}",
            hint="GET /v1/models lists what is served",
            param="model",
        )
    if saturated:
        limited = ParallaxCapacityError if saturated[0].self_hosted else UpstreamRateLimited
        full = ", ".join(state.name for state in saturated)
        return limited(
            f"no capacity for {call.model!r}: {full} full; {reasons}".rstrip("; "),
            hint="try again later",
            retry_after=min(state.retry_after for state in saturated),
        )
    if call.requires_privacy:
        return _privacy_refusal(call, snapshot, reasons)
    serving = [state for state in snapshot if state.serves is not False]
    own = all(state.self_hosted for state in serving)
    unavailable = ParallaxClusterUnavailableError if own else NoEligibleProvider
    return unavailable(
        f"no provider can take {call.model!r} now: {reasons}",
        hint="try again later",
        retry_after=min(state.retry_after for state in serving),
    )


def _privacy_refusal(
    call: ChatCall, snapshot: Sequence[ProviderState], reasons: str
) -> PrivacyViolationError:
    if any(state.private and state.serves is not False for state in snapshot):
        return PrivateProviderUnavailable(
            f"privacy is required, and no private provider can take {call.model!r} now: {reasons}",
            hint="try again later; a private request is never sent anywhere else",
            retry_after=RETRY_SECONDS,
        )
    return PrivacyViolationError(
        f"privacy is required, and no private provider serves {call.model!r}: {reasons}",
        hint="mark a provider of this model with 'private = true'",
    )


def _load(state: ProviderState) -> float:
    return state.load


def _waiting(state: ProviderState) -> float:
    return state.wait or 0.0


def _expected(state: ProviderState, prompt: int, completion: int) -> float:
    if state.price is None:
        return float("inf")
    return state.price.estimate(prompt, completion)
