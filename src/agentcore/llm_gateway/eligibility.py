"""Who may answer a call at all: asked before anything is ranked, and of every fallback."""

from __future__ import annotations

from collections.abc import Mapping

from agentcore.llm_gateway.candidates import ProviderState
from agentcore.llm_gateway.features import features_of
from agentcore.llm_gateway.models import NO_TRAITS, ChatCall, Dialect, Traits
from agentcore.llm_gateway.policy import NO_POLICY, Policy
from agentcore.llm_gateway.prices import Price

# No tokenizer packs text tighter; more bytes than that cannot fit, fewer are let try.
MOST_BYTES_PER_TOKEN = 8
MTOK = 1_000_000
APIS: Mapping[Dialect, str] = {
    "chat": "chat completions",
    "responses": "responses",
    "embeddings": "embeddings",
    "messages": "messages",
}


def why_not(call: ChatCall, state: ProviderState) -> str | None:
    """What excludes ``state``: the same for the first choice, fallbacks, hedges and shadows."""
    if call.requires_privacy and not state.private:
        return "not private"
    if not state.speaks:
        return f"does not serve {APIS[call.dialect]}"
    if state.serves is None:
        return f"its models are not known yet: {state.why}" if state.why else "models unknown yet"
    if not state.serves:
        return "does not serve the model"
    if call.terms.models and not call.terms.allow(call.model):
        return "the caller's key is not for the model"
    if state.traits is not NO_TRAITS and (cannot := _cannot(call, state.traits)):
        return cannot
    if call.policy is not NO_POLICY and (refused := _unwanted(call, state)):
        return refused
    return None if state.available else state.why or "unavailable"


def _cannot(call: ChatCall, traits: Traits) -> str | None:
    context = traits.context_tokens
    if context is not None and call.prompt_bytes > context * MOST_BYTES_PER_TOKEN:
        return f"the prompt exceeds its context of {context} tokens"
    if traits.refuses:
        missing = sorted(features_of(call) & traits.refuses)
        if missing:
            return f"cannot do {', '.join(missing)}"
    return None


def _unwanted(call: ChatCall, state: ProviderState) -> str | None:
    policy, traits = call.policy, state.traits
    if policy.only is not None and state.name not in policy.only:
        return "not among provider.only"
    if state.name in policy.ignore:
        return "in provider.ignore"
    if policy.deny_collection and traits.collects_data:
        return "may collect data"
    if policy.zdr and not (traits.zero_retention or state.self_hosted):
        return "retains data"
    if policy.regions and traits.region not in policy.regions:
        return f"computes in {traits.region or 'an unknown region'}"
    if policy.quantizations and (traits.quantization or "unknown") not in policy.quantizations:
        return f"has quantization {traits.quantization or 'unknown'}"
    return _too_dear(policy, state.price)


def _too_dear(policy: Policy, price: Price | None) -> str | None:
    limits = (policy.max_prompt_price, policy.max_completion_price)
    for limit, (prompt, completion) in zip(limits, ((MTOK, 0), (0, MTOK)), strict=True):
        if limit is None:
            continue
        if price is None:
            return "has no known price"
        if price.estimate(prompt, completion) > limit:
            return "is dearer than provider.max_price"
    return None
