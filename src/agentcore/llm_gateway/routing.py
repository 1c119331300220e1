"""Who answers: a pure function of the call and of what is known about the providers.

Eligibility comes first (privacy, model, health); only among the eligible does cost decide. The same
list bounds the fallbacks: whoever is not a candidate is never tried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from agentcore.kit.errors import AgentCoreError
from agentcore.llm_gateway.balance import balanced
from agentcore.llm_gateway.candidates import RETRY_SECONDS, ProviderState
from agentcore.llm_gateway.eligibility import APIS, why_not
from agentcore.llm_gateway.errors import (
    DialectNotServed,
    ModelNotAllowed,
    NoAllowedProvider,
    NoEligibleProvider,
    ParallaxCapacityError,
    ParallaxClusterUnavailableError,
    PrivacyViolationError,
    PrivateProviderUnavailable,
    UnknownModel,
    UpstreamRateLimited,
)
from agentcore.llm_gateway.models import ChatCall, ModelInfo, Reason
from agentcore.llm_gateway.policy import NO_POLICY
from agentcore.llm_gateway.ranking import STRAIGHT, CostOptimizer, Steering, steered, wished


class RoutingDecision(NamedTuple):
    """``candidates`` in the order of trial, ``provider`` first; ``exclusions``: name = reason."""

    provider: str
    reason: Reason
    candidates: tuple[str, ...]
    exclusions: Mapping[str, str]


def model_info(model: str, snapshot: Sequence[ProviderState]) -> ModelInfo:
    serving = [state for state in snapshot if state.serves and state.speaks]
    alone = len(serving) == 1 and not serving[0].self_hosted
    return ModelInfo(
        id=model,
        providers=tuple(state.name for state in serving),
        exclusive_provider=serving[0].name if alone else None,
    )


def decide(
    call: ChatCall,
    snapshot: Sequence[ProviderState],
    optimizer: CostOptimizer,
    steering: Steering = STRAIGHT,
) -> RoutingDecision:
    """Choose the provider for ``call`` and the order of its fallbacks.

    Raises:
        UnknownModel: nobody serves the model.
        DialectNotServed: who serves it does not speak the call's dialect.
        PrivacyViolationError: the call is private and no private provider can take it.
        ParallaxCapacityError: only the own cluster could take it, and it is full.
        UpstreamRateLimited: only API providers could take it, and they are saturated.
        ParallaxClusterUnavailableError: only the own cluster serves it, and it is unavailable.
        NoEligibleProvider: everybody who serves the model is unavailable or excluded.
    """
    own: list[ProviderState] = []
    api: list[ProviderState] = []
    lines: list[ProviderState] = []
    saturated: list[ProviderState] = []
    exclusions: dict[str, str] = {}
    for state in snapshot:
        why = why_not(call, state)
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
    ordered = _ordered(call, own, optimizer.rank(call, api), lines)
    reason = _reason(call, snapshot, own_ready=ordered[0].self_hosted)
    if steering is not STRAIGHT:
        ordered, reason = steered(ordered, reason, call, steering)
    if call.policy is not NO_POLICY:
        ordered, reason = wished(ordered, reason, call, exclusions)
    candidates = tuple([state.name for state in ordered])
    return RoutingDecision(candidates[0], reason, candidates, exclusions)


def _ordered(
    call: ChatCall,
    own: list[ProviderState],
    api: list[ProviderState],
    lines: list[ProviderState],
) -> list[ProviderState]:
    if len(own) > 1:
        own = balanced(call, own)
    if not lines:
        return [*own, *api]
    lines.sort(key=_waiting)
    # What is not urgent waits for own hardware rather than be paid for elsewhere.
    return [*own, *lines, *api] if call.priority == "low" else [*own, *api, *lines]


def _reason(call: ChatCall, snapshot: Sequence[ProviderState], *, own_ready: bool) -> Reason:
    if call.requires_privacy:
        return "privacy_required"
    if own_ready:
        # Served by own hardware, so no API has it alone.
        return "default" if call.priority == "low" else "cost_optimization"
    if model_info(call.model, snapshot).exclusive_provider is not None:
        return "exclusive_model"
    own = [state for state in snapshot if state.self_hosted and state.serves]
    if any(why_not(call, state._replace(available=True)) is None for state in own):
        return "cluster_saturated"
    return "policy" if own and call.policy is not NO_POLICY else "default"


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
    if not call.terms.allow(call.model):
        return ModelNotAllowed(
            f"this key may not use the model {call.model!r}",
            hint=f"it may use: {', '.join(call.terms.models)}",
            param="model",
        )
    if not any(state.could_serve for state in snapshot):
        return DialectNotServed(
            f"no provider of {call.model!r} serves {APIS[call.dialect]}",
            hint="call it by another API, or ask for another model",
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
    serving = [state for state in snapshot if state.could_serve]
    if call.requires_privacy:
        return _privacy_refusal(call, serving, reasons)
    if all(state.serves and _excludes(call, state) for state in serving):
        return NoAllowedProvider(
            f"no provider of {call.model!r} may or can do what this request asks: {reasons}",
            hint="ask for less, or change 'provider' in the request",
            param="provider",
        )
    own = all(state.self_hosted for state in serving)
    unavailable = ParallaxClusterUnavailableError if own else NoEligibleProvider
    return unavailable(
        f"no provider can take {call.model!r} now: {reasons}",
        hint="try again later",
        retry_after=min(state.retry_after for state in serving),
    )


def _privacy_refusal(
    call: ChatCall, serving: Sequence[ProviderState], reasons: str
) -> PrivacyViolationError:
    private = [state for state in serving if state.private]
    if not private:
        return PrivacyViolationError(
            f"privacy is required, and no private provider serves {call.model!r}: {reasons}",
            hint="mark a provider of this model with 'private = true'",
        )
    if all(state.serves and _excludes(call, state) for state in private):
        return PrivacyViolationError(
            f"privacy is required, and no private provider of {call.model!r} may or can do what "
            f"this request asks: {reasons}",
            hint="ask for less, or change 'provider' in the request",
            param="provider",
        )
    return PrivateProviderUnavailable(
        f"privacy is required, and no private provider can take {call.model!r} now: {reasons}",
        hint="try again later; a private request is never sent anywhere else",
        retry_after=RETRY_SECONDS,
    )


def _excludes(call: ChatCall, state: ProviderState) -> bool:
    """Whether the provider is no candidate however it does."""
    return why_not(call, state._replace(available=True)) is not None


def _waiting(state: ProviderState) -> float:
    return state.wait or 0.0
