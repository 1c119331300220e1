from __future__ import annotations

from datetime import timedelta

from agentcore.ace.nearby import CachedPlaybook, Nearby
from tests.fakes.clock import ManualClock
from tests.fakes.playbooks import made_playbook


def cached(agent_id: str, clock: ManualClock, *, seconds: float = 60) -> CachedPlaybook:
    playbook = made_playbook(agent_id=agent_id)
    until = clock.now() + timedelta(seconds=seconds)
    return CachedPlaybook(tenant="north", playbook=playbook, until=until)


def test_an_entry_lives_until_it_expires_or_the_era_ends(clock: ManualClock) -> None:
    nearby = Nearby(clock)
    for agent in ("a", "b"):
        nearby.keep(cached(agent, clock), size=1, era=7)
    assert nearby.get("a", era=7) is not None
    assert nearby.get("a", era=8) is None
    assert nearby.get("a", era=7) is None
    clock.advance(60)
    assert nearby.get("b", era=7) is None


def test_the_least_recently_used_go_first(clock: ManualClock) -> None:
    nearby = Nearby(clock, most_bytes=100)
    nearby.keep(cached("a", clock), size=40, era=0)
    nearby.keep(cached("b", clock), size=40, era=0)
    assert nearby.get("a", era=0) is not None
    nearby.keep(cached("c", clock), size=40, era=0)
    assert [agent for agent in "abc" if nearby.get(agent, era=0) is not None] == ["a", "c"]
    nearby.keep(cached("c", clock), size=60, era=0)
    assert nearby.get("a", era=0) is not None


def test_what_is_larger_than_everything_is_not_kept(clock: ManualClock) -> None:
    nearby = Nearby(clock, most_bytes=100)
    nearby.keep(cached("a", clock), size=101, era=0)
    assert nearby.get("a", era=0) is None
    nearby.keep(cached("b", clock), size=100, era=0)
    assert nearby.get("b", era=0) is not None
