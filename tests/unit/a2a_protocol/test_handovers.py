from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.a2a_protocol.errors import DelegationCycle, DelegationTooDeep, InvalidParams
from agentcore.a2a_protocol.handovers import (
    SHORTEST_SECONDS,
    Station,
    caller_for,
    kept_in,
    kept_of,
    narrowed,
    seconds_for,
)
from agentcore.a2a_protocol.models.handover import EXTENSION, NO_HANDOVER, Handover, Hop
from agentcore.a2a_protocol.models.turn import Sent
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from tests.fakes.a2a import principal

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
STATION = Station("here", 3, Ids())
B = STATION.hop("b", "t1")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def sent(handover: JsonValue = None, *, traceparent: str = "", trace_id: str = "") -> Sent:
    metadata: JsonObject = {} if handover is None else {EXTENSION: handover}
    return Sent(
        principal=principal(),
        message={"messageId": "m", "metadata": metadata},
        traceparent=traceparent,
        trace_id=trace_id,
    )


def hops(*names: str) -> list[JsonValue]:
    return [
        {"installation": where, "agent": agent}
        for where, _, agent in (name.partition("/") for name in names)
    ]


def test_the_agent_joins_the_chain_and_the_trace_goes_on() -> None:
    found = STATION.accept(sent({"chain": hops("there/a")}, traceparent=TRACE), B, {})
    assert [hop.agent for hop in found.chain] == ["a", "b"]
    assert found.traceparent == TRACE
    onward = STATION.onward(TRACE)
    assert onward != TRACE
    assert onward[:36] == TRACE[:36]


def test_a_trace_is_begun_where_there_is_none() -> None:
    found = STATION.accept(sent(trace_id="ab" * 16), B, {})
    assert found.traceparent
    assert found.traceparent.split("-")[1] == "ab" * 16
    assert STATION.accept(sent({"traceparent": TRACE}), B, {}).traceparent == TRACE


def test_circles_and_long_ways_are_refused() -> None:
    with pytest.raises(DelegationCycle, match="b -> a"):
        STATION.accept(sent({"chain": hops("here/b", "there/a")}), B, {})
    with pytest.raises(DelegationTooDeep, match="number 4"):
        STATION.accept(sent({"chain": hops("x/1", "x/2", "x/3")}), B, {})
    STATION.accept(sent({"chain": hops("there/b", "there/a")}), B, {})


def test_a_later_turn_is_no_circle_and_cannot_widen() -> None:
    first = STATION.accept(
        sent({"chain": hops("there/a"), "private": True, "budget_usd": "1.5"}), B, {}
    )
    kept = kept_of(first, sent({}), NOW)
    again = STATION.accept(sent(), B, kept)
    assert again.chain == first.chain
    assert again.private
    assert again.budget_usd == Decimal("1.5")
    wider = STATION.accept(sent({"budget_usd": "9", "private": False}), B, kept)
    assert wider.private
    assert wider.budget_usd == Decimal("1.5")


@pytest.mark.parametrize(
    "said",
    [
        "x", [], {"chain": "x"}, {"chain": [{"agent": "a"}]}, {"chain": hops(*["x/y"] * 33)},
        {"deadline_seconds": 0}, {"deadline_seconds": "soon"}, {"budget_usd": -1},
        {"budget_usd": "NaN"}, {"traceparent": "x"}, {"private": "perhaps"},
    ],
)  # fmt: skip
def test_what_is_no_handover(said: JsonValue) -> None:
    with pytest.raises(InvalidParams, match=EXTENSION):
        STATION.accept(sent(said), B, {})


HANDOVERS = st.builds(
    Handover,
    chain=st.just(()),
    budget_usd=st.none() | st.decimals(0, 100, places=2),
    private=st.booleans(),
)


@given(HANDOVERS, HANDOVERS)
def test_nothing_is_ever_widened(before: Handover, later: Handover) -> None:
    after = narrowed(before, later)
    assert after.private == (before.private or later.private)
    for each in (before, later):
        assert each.budget_usd is None or after.budget_usd is not None
        assert each.budget_usd is None or after.budget_usd <= each.budget_usd  # type: ignore[operator]  # just asserted


def test_deadlines_and_privacy() -> None:
    short = Handover(deadline_seconds=2)
    asked = Sent(principal=principal(), message={"metadata": {"deadline_seconds": 5}})
    assert seconds_for(asked, short, 60) == 2
    assert seconds_for(asked, NO_HANDOVER, 60) == 5
    assert seconds_for(sent(), NO_HANDOVER, 60) == 60
    assert caller_for(principal(), Handover(private=True)).private
    assert not caller_for(principal(), NO_HANDOVER).private


def test_only_what_was_handed_on_is_kept() -> None:
    assert kept_of(Handover(chain=(Hop(installation="here", agent="b"),)), sent(), NOW) == {}


def test_what_a_task_has_kept_is_what_is_left_of_it() -> None:
    first = STATION.accept(sent({"chain": hops("there/a"), "budget_usd": 2}), B, {})
    head: JsonObject = {"metadata": kept_of(first, sent({}), NOW + timedelta(seconds=9))}
    left = kept_in(head, B, NOW)
    assert (left.chain, left.budget_usd, left.deadline_seconds) == (first.chain, 2, 9)
    assert kept_in(head, B, NOW + timedelta(minutes=1)).deadline_seconds == SHORTEST_SECONDS
    assert kept_in({}, B, NOW) == Handover(chain=(B,))


def test_playbooks_have_a_size() -> None:
    with pytest.raises(InvalidParams, match="more than 65536 bytes"):
        STATION.accept(sent({"playbook": {"text": "x" * 70_000}}), B, {})
