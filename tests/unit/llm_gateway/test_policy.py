from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.llm_gateway.errors import InvalidChatRequest
from agentcore.llm_gateway.policy import NO_POLICY, READERS, Policy, policy_of

# Every member that OpenRouter documents.
WHOLE: dict[str, Any] = {
    "order": ["b", "a"],
    "only": ["a", "b"],
    "ignore": ["c"],
    "allow_fallbacks": False,
    "require_parameters": True,
    "data_collection": "deny",
    "zdr": True,
    "quantizations": ["fp8", "bf16"],
    "sort": {"by": "throughput", "partition": "none"},
    "max_price": {"prompt": 1, "completion": "2.5"},
    "preferred_min_throughput": {"p90": 50, "p50": 100},
    "preferred_max_latency": 3,
}


def test_the_whole_object() -> None:
    assert set(WHOLE) == set(READERS)
    assert policy_of(WHOLE, ["eu"]) == Policy(
        order=("b", "a"),
        only=frozenset({"a", "b"}),
        ignore=frozenset({"c"}),
        allow_fallbacks=False,
        deny_collection=True,
        zdr=True,
        quantizations=frozenset({"fp8", "bf16"}),
        regions=frozenset({"eu"}),
        sort="throughput",
        max_prompt_price=1.0,
        max_completion_price=2.5,
        min_throughput=100.0,
        max_latency=3.0,
    )


def test_nothing_asked_is_no_policy() -> None:
    assert policy_of(None) is NO_POLICY
    assert policy_of({}) == NO_POLICY
    assert policy_of(dict.fromkeys(READERS)) == NO_POLICY
    assert policy_of(None, ["eu"]).regions == {"eu"}


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ("a", "provider"),
        ({"orders": ["a"]}, "provider.orders"),
        ({"order": 1}, "provider.order"),
        ({"only": ["a", 1]}, "provider.only"),
        ({"allow_fallbacks": "no"}, "provider.allow_fallbacks"),
        ({"data_collection": "never"}, "provider.data_collection"),
        ({"sort": "beauty"}, "provider.sort"),
        ({"max_price": 1}, "provider.max_price"),
        ({"max_price": {"image": 1}}, "provider.max_price"),
        ({"max_price": {"prompt": -1}}, "provider.max_price.prompt"),
        ({"max_price": {"prompt": "cheap"}}, "provider.max_price.prompt"),
        ({"max_price": {"completion": []}}, "provider.max_price.completion"),
        ({"require_parameters": "yes"}, "provider.require_parameters"),
        ({"preferred_max_latency": "soon"}, "provider.preferred_max_latency"),
        ({"preferred_max_latency": True}, "provider.preferred_max_latency"),
    ],
)
def test_what_cannot_be_obeyed_is_refused(given: Any, param: str) -> None:
    with pytest.raises(InvalidChatRequest) as caught:
        policy_of(given)
    assert caught.value.context["param"] == param


@given(
    st.dictionaries(
        st.sampled_from([*READERS, "x"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
        ),
    )
)
def test_any_object_is_a_policy_or_refused(given: Any) -> None:
    with suppress(InvalidChatRequest):
        assert isinstance(policy_of(given), Policy)
