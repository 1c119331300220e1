from __future__ import annotations

import json
from datetime import timedelta

from agentcore.llm_gateway.decisions import DecisionLog, explained
from agentcore.llm_gateway.models import ChatCall
from agentcore.llm_gateway.providers.openai import OpenAIProvider
from agentcore.llm_gateway.ranking import CostOptimizer
from agentcore.llm_gateway.routing import decide
from tests.fakes.clock import ManualClock
from tests.fakes.llm_provider import FakeProvider
from tests.unit.llm_gateway.conftest import Asking, Build

CALL = ChatCall("m", {"messages": "secret"}, tenant="acme", subject="ann", prompt_bytes=400)


async def test_a_decision_is_kept_with_what_became_of_it(
    build: Build, remote: OpenAIProvider, clock: ManualClock
) -> None:
    cluster = FakeProvider("cluster", clock, private=True, self_hosted=True)
    router = build(remote, cluster)
    await router.dispatch(CALL)
    (told,) = router.decisions.read("acme", 10)
    assert (told.model, told.subject, told.reason) == ("m", "ann", "cost_optimization")
    assert told.candidates == ("cluster", "cheap")
    assert told.attempts == [("cluster", "success")]
    costs = {each["provider"]: each["expected_cost_usd"] for each in told.providers}
    assert (costs["cluster"], costs["cheap"] != 0) == (0, True)
    assert "secret" not in repr(told)
    assert list(router.decisions.read("other", 10)) == []


async def test_only_the_last_ones_are_kept_newest_first(build: Build, clock: ManualClock) -> None:
    clock.advance(100)
    log = DecisionLog(clock, kept=3)
    states = build(FakeProvider("cheap", clock)).snapshot(CALL)
    decision = decide(CALL, states, CostOptimizer())
    for number in range(5):
        clock.advance(1)
        log.add(CALL._replace(model=f"m{number}"), decision, states)
    assert [each.model for each in log.read(None, 2)] == ["m4", "m3"]
    read = list(log.read(None, 9))
    assert [each.model for each in read] == ["m4", "m3", "m2"]
    assert read[0].at == clock.now()


async def test_what_is_unknown_is_null(build: Build, clock: ManualClock) -> None:
    states = build(FakeProvider("unpriced", clock)).snapshot(CALL)
    told = explained(CALL, decide(CALL, states, CostOptimizer()), states)
    (provider,) = json.loads(json.dumps(told))["providers"]
    assert provider["expected_cost_usd"] is None
    assert provider["first_content_seconds"] is None


async def test_a_dry_run_sends_nothing(
    build: Build, asking: Asking, remote: OpenAIProvider
) -> None:
    call = await asking({"provider": {"sort": "price"}}, path="/v1/route:explain").run()
    assert call.status == 200
    assert call.json["provider"] == "cheap"
    assert call.json["candidates"] == ["cheap"]
    assert remote.gate.in_flight == 0


async def test_a_dry_run_says_why_nobody_would_answer(asking: Asking) -> None:
    call = await asking({"provider": {"ignore": ["cheap"]}}, path="/v1/route:explain").run()
    assert (call.status, call.json["error"]["code"]) == (400, "no_allowed_provider")
    assert "cheap: in provider.ignore" in call.json["error"]["message"]


async def test_a_decision_is_dated_by_the_clock_on_the_wall(
    build: Build, clock: ManualClock
) -> None:
    """The other clock stands still while the machine sleeps."""
    states = build(FakeProvider("cheap", clock)).snapshot(CALL)
    woken = ManualClock()
    log = DecisionLog(woken)
    slept = timedelta(hours=8)
    woken.suspend(slept)
    log.add(CALL, decide(CALL, states, CostOptimizer()), states)
    (told,) = log.read("acme", 1)
    assert told.at == woken.now()
