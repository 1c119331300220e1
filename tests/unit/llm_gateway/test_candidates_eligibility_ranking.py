from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentcore.kit.errors import AgentCoreError
from agentcore.kit.jsonvalue import JsonObject
from agentcore.llm_gateway.candidates import Pace, ProviderState, expected_cost
from agentcore.llm_gateway.eligibility import MOST_BYTES_PER_TOKEN, why_not
from agentcore.llm_gateway.errors import NoAllowedProvider
from agentcore.llm_gateway.models import ChatCall, Traits
from agentcore.llm_gateway.policy import policy_of
from agentcore.llm_gateway.prices import FlatPrice
from agentcore.llm_gateway.ranking import STRAIGHT, CostOptimizer, Steering, Weights
from agentcore.llm_gateway.routing import RoutingDecision, decide
from agentcore.llm_gateway.terms import Terms


def priced(prompt: float, completion: float) -> FlatPrice:
    return FlatPrice(Decimal(str(prompt)), Decimal(str(completion)), Decimal(str(prompt)))


def api(name: str, **more: Any) -> ProviderState:
    return ProviderState(name, self_hosted=False, private=False, serves=True, **more)


OWN = ProviderState("own", self_hosted=True, private=True, serves=True, price=priced(0, 0))
CHEAP = api("cheap", price=priced(1, 2), pace=Pace(2.0, 20.0), traits=Traits(region="us"))
DEAR = api(
    "dear",
    price=priced(5, 20),
    pace=Pace(0.3, 90.0),
    traits=Traits(region="eu", collects_data=False, zero_retention=True, quality=0.9),
)
ALL = (OWN, CHEAP, DEAR)


def decided(
    provider: Any = None, *, steering: Steering = STRAIGHT, regions: Any = (), **more: Any
) -> RoutingDecision:
    call = ChatCall("m", {}, policy=policy_of(provider, regions), **more)
    return decide(call, ALL, CostOptimizer(), steering)


@pytest.mark.parametrize(
    ("policy", "candidates"),
    [
        ({"order": ["dear", "cheap"]}, ["dear", "cheap", "own"]),
        ({"order": ["dear"], "allow_fallbacks": False}, ["dear"]),
        ({"allow_fallbacks": False}, ["own"]),
        ({"only": ["cheap", "dear"]}, ["cheap", "dear"]),
        ({"ignore": ["own"]}, ["cheap", "dear"]),
        ({"sort": "price"}, ["own", "cheap", "dear"]),
        ({"sort": "throughput"}, ["dear", "cheap", "own"]),
        ({"sort": "latency"}, ["dear", "cheap", "own"]),
        ({"data_collection": "deny"}, ["dear"]),
        ({"zdr": True}, ["own", "dear"]),
        ({"max_price": {"prompt": 2}}, ["own", "cheap"]),
        ({"max_price": {"completion": 1.5}}, ["own"]),
        ({"ignore": ["own"], "preferred_max_latency": 1}, ["dear", "cheap"]),
        ({"ignore": ["own"], "preferred_min_throughput": 50}, ["dear", "cheap"]),
        ({"quantizations": ["unknown"]}, ["own", "cheap", "dear"]),
    ],
)
def test_a_requests_own_policy(policy: Any, candidates: list[str]) -> None:
    decision = decided(policy)
    assert list(decision.candidates) == candidates
    assert decision.reason == ("cost_optimization" if candidates[0] == "own" else "policy")
    assert set(decision.exclusions) == {"own", "cheap", "dear"} - set(candidates)


def test_regions() -> None:
    decision = decided(regions=["eu"])
    assert (decision.candidates, decision.reason) == (("dear",), "policy")


def test_what_own_hardware_cannot_do_is_no_saturation() -> None:
    plain = OWN._replace(traits=Traits(refuses=frozenset({"n"})))
    decision = decide(ChatCall("m", {"n": 2}), [plain, CHEAP, DEAR], CostOptimizer())
    assert (decision.provider, decision.reason) == ("cheap", "default")


@pytest.mark.parametrize("policy", [{"only": ["nobody"]}, {"quantizations": ["fp4"]}])
def test_a_policy_that_excludes_everybody_is_the_requests_fault(policy: Any) -> None:
    with pytest.raises(NoAllowedProvider, match="own: "):
        decided(policy)


def test_an_unavailable_provider_is_not_the_requests_fault() -> None:
    down = CHEAP._replace(available=False, why="down")
    with pytest.raises(Exception, match="down") as caught:
        decide(ChatCall("m", {}), [down], CostOptimizer())
    assert not isinstance(caught.value, NoAllowedProvider)


def test_who_cannot_do_it_is_excluded() -> None:
    plain = OWN._replace(traits=Traits(refuses=frozenset({"json", "n"})))
    body: JsonObject = {"response_format": {"type": "json_object"}, "n": 2}
    assert why_not(ChatCall("m", body), plain) == "cannot do json, n"
    assert why_not(ChatCall("m", {}), plain) is None


def test_a_key_is_for_its_models_alone() -> None:
    call = ChatCall("m", {}, terms=Terms(models=("m-*", "n")))
    assert why_not(call, OWN) == "the caller's key is not for the model"
    assert why_not(call._replace(terms=Terms(models=("m", "n"))), OWN) is None


def test_who_has_no_room_for_the_prompt_is_excluded() -> None:
    small = OWN._replace(traits=Traits(context_tokens=100))
    fits = ChatCall("m", {}, prompt_bytes=100 * MOST_BYTES_PER_TOKEN)
    assert why_not(fits, small) is None
    too_long = fits._replace(prompt_bytes=fits.prompt_bytes + 1)
    assert why_not(too_long, small) == "the prompt exceeds its context of 100 tokens"


def test_outside_the_rolled_out_share_own_hardware_is_the_fallback() -> None:
    decision = decided(steering=Steering(own_first=False))
    assert (decision.candidates, decision.reason) == (("cheap", "dear", "own"), "rollout")
    private = decided(steering=Steering(own_first=False), requires_privacy=True)
    assert (private.candidates, private.reason) == (("own",), "privacy_required")


def test_a_canary_goes_first_where_it_may() -> None:
    decision = decided(steering=Steering(first="dear"))
    assert (decision.candidates, decision.reason) == (("dear", "own", "cheap"), "canary")
    private = decided(steering=Steering(first="dear"), requires_privacy=True)
    assert (private.candidates, private.reason) == (("own",), "privacy_required")


@pytest.mark.parametrize(
    ("weights", "best"),
    [
        (Weights(), "cheap"),
        (Weights(cost=0, latency=1), "dear"),
        (Weights(cost=0, quality=1), "dear"),
        (Weights(cost=1, latency=0.1), "cheap"),
    ],
)
def test_what_counts_can_be_weighed(weights: Weights, best: str) -> None:
    optimizer = CostOptimizer(weights)
    assert optimizer.select_provider(ChatCall("m", {}), [DEAR, CHEAP]) == best


def test_what_is_unknown_counts_as_the_worst() -> None:
    unknown = api("unknown")
    assert expected_cost(unknown, ChatCall("m", {})) == math.inf
    scores = CostOptimizer(Weights(latency=1)).scores(ChatCall("m", {}), [unknown, CHEAP])
    assert scores["unknown"] == pytest.approx(2.0)


States = st.lists(
    st.builds(
        ProviderState,
        name=st.sampled_from("abcd"),
        self_hosted=st.booleans(),
        private=st.booleans(),
        serves=st.sampled_from([True, True, False, None]),
        available=st.booleans(),
        has_capacity=st.booleans(),
        wait=st.none() | st.floats(0, 9),
        price=st.none() | st.builds(priced, st.floats(0, 9), st.floats(0, 9)),
        traits=st.builds(Traits, region=st.sampled_from(["", "eu"]), collects_data=st.booleans()),
        pace=st.builds(Pace, st.none() | st.floats(0.1, 9), st.none() | st.floats(1, 99)),
    ),
    max_size=4,
    unique_by=lambda state: state.name,
)
Policies = st.fixed_dictionaries(
    {},
    optional={
        "order": st.lists(st.sampled_from("abcd"), max_size=3),
        "only": st.lists(st.sampled_from("abcd"), max_size=3),
        "ignore": st.lists(st.sampled_from("abcd"), max_size=3),
        "allow_fallbacks": st.booleans(),
        "data_collection": st.sampled_from(["allow", "deny"]),
        "sort": st.sampled_from(["price", "latency", "throughput"]),
        "max_price": st.fixed_dictionaries({"prompt": st.floats(0, 9)}),
    },
)


# Few of the lists that are made up hold somebody private who can be asked, and others beside.
MIXED = [
    ProviderState(name, self_hosted=name < "c", private=name in "ad", serves=True)
    for name in "abcd"
]


@given(States, Policies, st.booleans(), st.booleans(), st.none() | st.sampled_from("abcd"))
@example(MIXED, {"order": ["b", "a"], "sort": "price"}, True, True, "c")
@example(MIXED, {"only": ["c", "d"]}, True, False, "c")
def test_whatever_is_wished_and_steered_the_excluded_stay_excluded(
    states: list[ProviderState], wishes: Any, private: bool, own_first: bool, first: str | None
) -> None:
    call = ChatCall("m", {}, policy=policy_of(wishes), requires_privacy=private)
    eligible = {
        state.name
        for state in states
        if why_not(call, state) is None and (state.has_capacity or state.wait is not None)
    }
    if not eligible:
        with pytest.raises(AgentCoreError):
            decide(call, states, CostOptimizer(), Steering(own_first, first))
        return
    decision = decide(call, states, CostOptimizer(), Steering(own_first, first))
    assert set(decision.candidates) <= eligible
    assert len(set(decision.candidates)) == len(decision.candidates) >= 1
    assert set(decision.candidates) | set(decision.exclusions) == {each.name for each in states}
    chosen = [state for state in states if state.name in decision.candidates]
    assert all(state.private for state in chosen) or not private
