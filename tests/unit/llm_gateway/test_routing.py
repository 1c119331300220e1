from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.kit.errors import AgentCoreError
from agentcore.llm_gateway.candidates import ProviderState
from agentcore.llm_gateway.errors import (
    DialectNotServed,
    NoEligibleProvider,
    ParallaxCapacityError,
    ParallaxClusterUnavailableError,
    PrivacyViolationError,
    PrivateProviderUnavailable,
    UnknownModel,
    UpstreamRateLimited,
)
from agentcore.llm_gateway.models import ChatCall, Priority
from agentcore.llm_gateway.policy import policy_of
from agentcore.llm_gateway.prices import FlatPrice
from agentcore.llm_gateway.ranking import CostOptimizer
from agentcore.llm_gateway.routing import (
    RoutingDecision,
    decide,
    model_info,
)


def priced(usd: int) -> FlatPrice:
    return FlatPrice(Decimal(usd), Decimal(usd), Decimal(usd))


CLUSTER = ProviderState("cluster", self_hosted=True, private=True, serves=True, price=priced(0))
DEAR = ProviderState("dear", self_hosted=False, private=False, serves=True, price=priced(9))
CHEAP = ProviderState("cheap", self_hosted=False, private=False, serves=True, price=priced(1))
ALL = (CLUSTER, DEAR, CHEAP)
FULL = CLUSTER._replace(has_capacity=False)
DOWN = CLUSTER._replace(available=False, why="down")
MUTE = CLUSTER._replace(speaks=False)


def decided(
    *states: ProviderState,
    private: bool = False,
    priority: Priority = "medium",
    **more: Any,
) -> RoutingDecision:
    call = ChatCall(model="m", body={}, requires_privacy=private, priority=priority, **more)
    return decide(call, states, CostOptimizer())


def refused(*states: ProviderState, private: bool = False, **more: Any) -> AgentCoreError:
    with pytest.raises(AgentCoreError) as caught:
        decided(*states, private=private, **more)
    return caught.value


@pytest.mark.parametrize(
    ("states", "private", "priority", "provider", "reason"),
    [
        (ALL, True, "low", "cluster", "privacy_required"),
        (ALL, False, "high", "cluster", "cost_optimization"),
        (ALL, False, "medium", "cluster", "cost_optimization"),
        (ALL, False, "low", "cluster", "default"),
        ((FULL, DEAR, CHEAP), False, "high", "cheap", "cluster_saturated"),
        ((DOWN, DEAR, CHEAP), False, "low", "cheap", "cluster_saturated"),
        ((CLUSTER._replace(serves=False), DEAR), False, "high", "dear", "exclusive_model"),
        ((FULL._replace(serves=False), DEAR), False, "high", "dear", "exclusive_model"),
        ((DEAR, CHEAP), False, "high", "cheap", "default"),
        ((DEAR,), False, "low", "dear", "exclusive_model"),
        ((CLUSTER,), False, "high", "cluster", "cost_optimization"),
    ],
    ids=[
        "private",
        "cheaper",
        "cheaper for all that is not low",
        "low",
        "full",
        "down",
        "only there",
        "only there, although the cluster is full",
        "no cluster at all",
        "one API",
        "one cluster",
    ],
)
def test_decisions(
    states: tuple[ProviderState, ...],
    private: bool,
    priority: Priority,
    provider: str,
    reason: str,
) -> None:
    decision = decided(*states, private=private, priority=priority)
    assert (decision.provider, decision.reason) == (provider, reason)
    assert decision.candidates[0] == provider


LINE = FULL._replace(wait=2.0)


@pytest.mark.parametrize(
    ("states", "priority", "candidates", "reason"),
    [
        ((LINE, CHEAP), "high", ("cheap", "cluster"), "cluster_saturated"),
        ((LINE, CHEAP), "medium", ("cheap", "cluster"), "cluster_saturated"),
        ((LINE, CHEAP), "low", ("cluster", "cheap"), "default"),
        ((LINE,), "high", ("cluster",), "cost_optimization"),
        (
            (LINE, LINE._replace(name="shorter", wait=1.0), CLUSTER._replace(name="free")),
            "high",
            ("free", "shorter", "cluster"),
            "cost_optimization",
        ),
    ],
)
def test_who_may_stand_in_line(
    states: tuple[ProviderState, ...],
    priority: Priority,
    candidates: tuple[str, ...],
    reason: str,
) -> None:
    decision = decided(*states, priority=priority)
    assert (decision.candidates, decision.reason) == (candidates, reason)


def test_a_private_call_stands_in_line_and_goes_nowhere_else() -> None:
    decision = decided(LINE, CHEAP, private=True)
    assert (decision.candidates, decision.reason) == (("cluster",), "privacy_required")


def test_fallbacks_are_ordered_own_hardware_first_then_by_cost() -> None:
    busy = CLUSTER._replace(name="busy", load=0.9)
    assert decided(DEAR, busy, CLUSTER, CHEAP).candidates == ("cluster", "busy", "cheap", "dear")


def test_an_unknown_price_comes_last() -> None:
    unknown = DEAR._replace(name="unknown", price=None)
    assert decided(unknown, DEAR, CHEAP).candidates == ("cheap", "dear", "unknown")


def test_long_answers_weigh_the_output_price() -> None:
    talker = CHEAP._replace(price=FlatPrice(Decimal(9), Decimal(1), Decimal(9)))
    reader = DEAR._replace(price=FlatPrice(Decimal(1), Decimal(9), Decimal(1)))
    assert decided(talker, reader, prompt_bytes=40, max_tokens=900).provider == "cheap"
    assert decided(talker, reader, prompt_bytes=4000, max_tokens=9).provider == "dear"


def test_every_exclusion_has_its_reason() -> None:
    decision = decided(
        CLUSTER,
        DEAR._replace(name="other", serves=False),
        DEAR._replace(name="new", serves=None),
        DEAR._replace(name="mute", serves=None, why="it cannot be reached"),
        DEAR._replace(name="ill", available=False, why="failed too often"),
        CHEAP._replace(has_capacity=False, why="rate limited"),
    )
    assert decision.candidates == ("cluster",)
    assert decision.exclusions == {
        "other": "does not serve the model",
        "new": "models unknown yet",
        "mute": "its models are not known yet: it cannot be reached",
        "ill": "failed too often",
        "cheap": "rate limited",
    }


def test_who_does_not_speak_as_the_caller_is_no_candidate() -> None:
    decision = decided(MUTE, DEAR, dialect="embeddings")
    assert decision.candidates == ("dear",)
    assert decision.exclusions == {"cluster": "does not serve embeddings"}
    # Own hardware that cannot be asked is not what the call was moved away from.
    assert decision.reason == "exclusive_model"


def test_nobody_who_speaks_as_the_caller_is_the_callers_mistake() -> None:
    with pytest.raises(DialectNotServed, match="no provider of 'm' serves responses") as caught:
        decided(MUTE, dialect="responses")
    assert caught.value.context["param"] == "model"


def test_private_calls_are_never_offered_to_others() -> None:
    vault = CHEAP._replace(name="vault", private=True)
    assert decided(*ALL, vault, private=True).candidates == ("cluster", "vault")
    assert decided(FULL, DEAR, vault, private=True).candidates == ("vault",)


@pytest.mark.parametrize(
    ("states", "private", "expected"),
    [
        ((), False, UnknownModel),
        ((CLUSTER._replace(serves=False),), False, UnknownModel),
        ((CLUSTER._replace(serves=False),), True, UnknownModel),
        ((FULL,), False, ParallaxCapacityError),
        ((FULL, DEAR), True, ParallaxCapacityError),
        ((DEAR._replace(has_capacity=False),), False, UpstreamRateLimited),
        ((DOWN,), False, ParallaxClusterUnavailableError),
        ((DOWN, DEAR._replace(available=False)), False, NoEligibleProvider),
        ((DEAR._replace(serves=None),), False, NoEligibleProvider),
        ((DEAR,), True, PrivacyViolationError),
        ((CLUSTER._replace(private=False),), True, PrivacyViolationError),
        ((DOWN, DEAR), True, PrivateProviderUnavailable),
        ((CLUSTER._replace(serves=None), DEAR), True, PrivateProviderUnavailable),
        ((CLUSTER._replace(serves=False), DEAR), True, PrivacyViolationError),
        ((MUTE,), False, DialectNotServed),
        ((MUTE, DEAR._replace(serves=False)), True, DialectNotServed),
        ((MUTE, DEAR), True, PrivacyViolationError),
        ((MUTE._replace(serves=False),), False, UnknownModel),
        ((MUTE, DEAR._replace(available=False)), False, NoEligibleProvider),
    ],
)
def test_refusals(
    states: tuple[ProviderState, ...], private: bool, expected: type[AgentCoreError]
) -> None:
    assert type(refused(*states, private=private)) is expected


def test_a_private_call_that_excludes_who_is_private_need_not_come_again() -> None:
    error = refused(CLUSTER, DEAR, private=True, policy=policy_of({"only": ["dear"]}))
    assert type(error) is PrivacyViolationError
    assert error.context["param"] == "provider"
    assert type(refused(DOWN, DEAR, private=True)) is PrivateProviderUnavailable


def test_a_refusal_says_who_was_excluded_and_why() -> None:
    error = refused(DOWN, DEAR, private=True)
    assert "cluster: down" in error.detail
    assert "dear: not private" in error.detail


def test_a_saturated_refusal_says_when_to_return() -> None:
    assert refused(FULL._replace(retry_after=7.0)).retry_after == 7.0


def test_the_optimizer_selects() -> None:
    call = ChatCall(model="m", body={})
    assert CostOptimizer().select_provider(call, [DEAR, CHEAP]) == "cheap"


def test_model_info() -> None:
    assert model_info("m", ALL).exclusive_provider is None
    assert model_info("m", [DEAR]).exclusive_provider == "dear"
    assert model_info("m", [CLUSTER]).exclusive_provider is None
    assert model_info("m", ALL).providers == ("cluster", "dear", "cheap")


STATES = st.lists(
    st.builds(
        ProviderState,
        st.uuids().map(str),
        self_hosted=st.booleans(),
        private=st.booleans(),
        serves=st.sampled_from([True, True, False, None]),
        available=st.booleans(),
        has_capacity=st.booleans(),
        load=st.floats(0, 2),
        price=st.none(),
        speaks=st.booleans(),
    ),
    max_size=6,
)


@given(STATES, st.booleans(), st.sampled_from(["high", "medium", "low"]))
def test_a_candidate_is_always_eligible(
    states: list[ProviderState], private: bool, priority: Priority
) -> None:
    by_name = {state.name: state for state in states}
    try:
        decision = decided(*states, private=private, priority=priority)
    except AgentCoreError:
        return
    assert decision.provider == decision.candidates[0]
    assert len(set(decision.candidates)) == len(decision.candidates)
    for name in decision.candidates:
        state = by_name[name]
        assert state.serves
        assert state.speaks
        assert state.available
        assert state.has_capacity or state.wait is not None
        assert state.private or not private
    assert set(decision.candidates) | set(decision.exclusions) == set(by_name)
    assert not set(decision.candidates) & set(decision.exclusions)
