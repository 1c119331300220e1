from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.llm_gateway.balance import PREFIX_BYTES, SLACK, balanced, prefix_of
from agentcore.llm_gateway.candidates import Pace, ProviderState
from agentcore.llm_gateway.models import ChatCall

NODES = ("a", "b", "c", "d")


def node(name: str, *, outstanding: int = 0, first: float | None = 0.1) -> ProviderState:
    return ProviderState(
        name=name,
        self_hosted=True,
        private=True,
        serves=True,
        outstanding=outstanding,
        pace=Pace(first_seconds=first),
    )


def asking(text: str = "Hello") -> ChatCall:
    return ChatCall(model="m", body={"messages": [{"role": "user", "content": text}]})


def names(states: list[ProviderState]) -> list[str]:
    return [each.name for each in states]


def test_the_least_latency_times_outstanding_comes_first() -> None:
    nodes = [
        node("slow", outstanding=1, first=2.0),
        node("busy", outstanding=30, first=0.1),
        node("free", outstanding=2, first=0.1),
    ]
    assert names(balanced(asking(), nodes)) == ["free", "busy", "slow"]


def test_who_has_not_answered_yet_is_tried_as_the_best() -> None:
    nodes = [node("known", outstanding=9), node("new", first=None)]
    assert names(balanced(asking(), nodes)) == ["new", "known"]


def test_a_prompt_stays_with_its_node_while_that_is_not_much_busier() -> None:
    home = balanced(asking("a long system prompt"), [node(each) for each in NODES])[0].name
    others = [node(each) for each in NODES if each != home]
    a_bit = [*others, node(home, outstanding=1)]
    assert balanced(asking("a long system prompt"), a_bit)[0].name == home
    much = [*others, node(home, outstanding=2)]
    assert balanced(asking("a long system prompt"), much)[0].name != home


def test_prompts_are_spread_evenly() -> None:
    nodes = [node(each) for each in NODES]
    homes = Counter(balanced(asking(str(each)), nodes)[0].name for each in range(400))
    assert min(homes[each] for each in NODES) > 60


def test_a_node_that_goes_moves_only_its_own_prompts() -> None:
    nodes = [node(each) for each in NODES]
    for each in range(100):
        before = names(balanced(asking(str(each)), nodes))
        after = names(balanced(asking(str(each)), nodes[1:]))
        assert after == [name for name in before if name != "a"]


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.none() | st.floats(0.001, 60)), min_size=1, max_size=6
    ),
    st.text(max_size=20),
)
def test_nobody_much_busier_comes_before_the_least_busy(
    loads: list[tuple[int, float | None]], text: str
) -> None:
    nodes = [
        node(str(place), outstanding=outstanding, first=first)
        for place, (outstanding, first) in enumerate(loads)
    ]
    ordered = balanced(asking(text), nodes)
    assert sorted(names(ordered)) == sorted(names(nodes))
    unknown = min((first for _, first in loads if first), default=1.0)
    busy = [(each.pace.first_seconds or unknown) * (each.outstanding + 1) for each in ordered]
    assert busy[0] <= SLACK * min(busy)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"messages": [{"role": "user", "content": "Hi"}]}, b"user\0Hi"),
        ({"system": "Be brief.", "messages": []}, b"Be brief."),
        ({"instructions": "Be brief.", "input": "Hi"}, b"Be brief.\0Hi"),
        ({"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}, b"user\0Hi"),
        ({"messages": 7}, b""),
    ],
)
def test_the_beginning_of_a_prompt(body: dict[str, Any], expected: bytes) -> None:
    assert prefix_of(ChatCall(model="m", body=body)) == expected


def test_only_the_beginning_counts() -> None:
    assert prefix_of(asking("x" * 5000 + "1")) == prefix_of(asking("x" * 5000 + "2"))
    assert len(prefix_of(asking("\u00e9" * 5000))) == PREFIX_BYTES
