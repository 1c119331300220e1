"""Tests of allowance.py, through the router that has it let calls in."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest
from prometheus_client import CollectorRegistry

from agentcore.kit.db import StorageUnavailable
from agentcore.kit.errors import AgentCoreError, DeadlineExceeded, RequestTooLarge
from agentcore.kit.jsonvalue import JsonObject
from agentcore.llm_gateway.allowance import (
    AWAY_SECONDS,
    FRAME_BYTES,
    UNLIMITED,
    USUAL_COMPLETION,
    spared_by_media,
)
from agentcore.llm_gateway.budgets.errors import BudgetExceeded, BudgetHeld, PriceUnknown
from agentcore.llm_gateway.budgets.models import Budget
from agentcore.llm_gateway.budgets.store import BudgetStore
from agentcore.llm_gateway.errors import (
    ModelNotAllowed,
    RateLimitExceeded,
    UpstreamTruncated,
    UpstreamUnavailable,
)
from agentcore.llm_gateway.models import CallRecord, Condition, LLMRequest
from agentcore.llm_gateway.providers.openai import OpenAIProvider
from agentcore.llm_gateway.rates.models import Rates
from agentcore.llm_gateway.terms import Terms
from tests.fakes.clock import ManualClock
from tests.fakes.llm_provider import FakeProvider
from tests.fakes.llm_upstream import Upstream, delta, drops, streams
from tests.fakes.treasury import FaultyTreasury
from tests.unit.llm_gateway.budgets.conftest import ASKED, Gate, Open, SetBudget

# At "cheap" a token costs a millionth of a dollar; every answer has 15 of them.
MTOK = Decimal("0.000001")
ANSWER = 15 * MTOK
PROMPT = ASKED.call().prompt_bytes
WORST = (PROMPT + 1000) * MTOK
GONE = UpstreamUnavailable("gone")


async def test_who_has_no_limit_and_no_budget_is_let_in_by_nobody(
    opened: Open, cheap: FakeProvider, store: BudgetStore, set_budget: SetBudget
) -> None:
    await set_budget(0, tenant="rival")
    treasury = FaultyTreasury(store)
    treasury.away = True
    gate = opened(cheap, treasury=treasury)
    await gate.allowance.refresh()
    assert await gate.allowance.admit(ASKED.call()) is UNLIMITED
    assert await gate.ask() == "cheap"


async def test_a_key_that_was_made_elsewhere_has_its_budget_at_once(
    opened: Open, cheap: FakeProvider, set_budget: SetBudget
) -> None:
    gate = opened(cheap)
    await gate.allowance.refresh()
    assert await gate.ask(replace(ASKED, key_id="k2")) == "cheap"
    await set_budget(0, scope="key", target="k1")
    with pytest.raises(BudgetExceeded):
        await gate.ask()


async def test_a_new_key_is_let_in_while_nobody_tells_of_its_budget(
    opened: Open, cheap: FakeProvider, set_budget: SetBudget, store: BudgetStore
) -> None:
    """Of many calls one looks, and none for a while where that was in vain."""
    looks = 0

    async def read(since: int) -> tuple[int, list[tuple[Budget, bool]]]:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise StorageUnavailable("away")
        return await store.changed(since)

    gate = opened(cheap, read=read)
    await set_budget(0, scope="key", target="k1")
    assert set(await asyncio.gather(*(gate.ask() for _ in range(9)))) == {"cheap"}
    gate.clock.advance(AWAY_SECONDS)
    found = await asyncio.gather(*(gate.ask() for _ in range(9)), return_exceptions=True)
    assert {type(each) for each in found} == {BudgetExceeded}
    assert looks == 2


async def test_an_answer_costs_what_the_ledger_says(
    opened: Open, cheap: FakeProvider, set_budget: SetBudget, lines: list[CallRecord]
) -> None:
    await set_budget(1)
    gate = opened(cheap)
    await gate.allowance.refresh()
    for _ in range(3):
        await gate.ask()
    assert await gate.spent() == (3 * ANSWER, 0)
    assert [line.cost_usd for line in lines] == [ANSWER] * 3


async def test_a_call_is_refused_before_it_is_sent_when_it_might_cost_too_much(
    opened: Open, cheap: FakeProvider, set_budget: SetBudget, registry: CollectorRegistry
) -> None:
    await set_budget(WORST, scope="key", target="k1")
    gate = opened(cheap)
    await gate.allowance.refresh()
    await gate.ask()
    with pytest.raises(BudgetExceeded, match="key 'k1'"):
        await gate.ask()
    assert len(cheap.seen) == 1
    assert await gate.ask(replace(ASKED, max_tokens=900)) == "cheap"
    assert await gate.ask(replace(ASKED, key_id="k2")) == "cheap"
    refused = registry.get_sample_value("llm_requests_refused_total", {"code": "budget_exceeded"})
    assert refused == 1


@pytest.mark.parametrize(
    ("changed", "tokens"),
    [
        ({"max_tokens": None}, 4000),
        ({"max_tokens": 10, "extras": {"n": 5}}, 50),
        ({"max_tokens": 10, "extras": {"n": "5"}}, 50),
        ({"max_tokens": 10, "extras": {"n": 5.0}}, 50),
        ({"max_tokens": 10, "extras": {"n": "many"}}, 10),
        ({"max_tokens": -5}, 0),
    ],
    ids=str,
)
async def test_the_most_a_call_can_cost(
    opened: Open,
    cheap: FakeProvider,
    set_budget: SetBudget,
    changed: dict[str, object],
    tokens: int,
) -> None:
    asked = replace(ASKED, **changed)  # type: ignore[arg-type]  # a test's own shorthand
    most = (asked.call().prompt_bytes + tokens) * MTOK
    await set_budget(most - MTOK, scope="agent", target="planner")
    gate = opened(cheap)
    await gate.allowance.refresh()
    with pytest.raises(BudgetExceeded):
        await gate.ask(asked)
    await set_budget(most, scope="agent", target="planner")
    await gate.allowance.refresh()
    await gate.ask(asked)


async def test_own_hardware_answers_when_the_money_is_gone(
    opened: Open, cheap: FakeProvider, cluster: FakeProvider, set_budget: SetBudget
) -> None:
    await set_budget(0)
    cluster.told = Condition(has_capacity=False, wait=1.0)
    gate = opened(cluster, cheap)
    await gate.allowance.refresh()
    assert await gate.ask() == "cluster"
    assert cheap.seen == []
    cluster.told = Condition(has_capacity=False)
    with pytest.raises(BudgetExceeded):
        await gate.ask()


async def test_what_is_too_dear_at_one_provider_another_answers_for_less(
    opened: Open, cheap: FakeProvider, dear: FakeProvider, set_budget: SetBudget
) -> None:
    await set_budget(2 * WORST)
    gate = opened(dear, cheap)
    await gate.allowance.refresh()
    cheap.failures = [GONE]
    with pytest.raises(AgentCoreError):
        await gate.ask()
    assert dear.seen == []
    assert await gate.spent() == (0, 0)
    assert await gate.ask() == "cheap"


async def test_only_who_answers_is_paid(
    opened: Open, cheap: FakeProvider, dear: FakeProvider, set_budget: SetBudget
) -> None:
    await set_budget(1)
    cheap.failures = [GONE]
    gate = opened(cheap, dear)
    await gate.allowance.refresh()
    assert await gate.ask() == "dear"
    assert await gate.spent() == (9 * ANSWER, 0)


async def leave(gate: Gate, provider: FakeProvider, request: LLMRequest = ASKED) -> None:
    """Ask, and leave before the answer begins."""
    provider.free.clear()
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(gate.ask(request))
        while not provider.seen:
            await asyncio.sleep(0)
        with pytest.raises(BudgetHeld):
            await gate.ask(request)
        asked.cancel()
    provider.free.set()


@pytest.mark.parametrize(("most", "late"), [(1000, False), (9, False), (9, True)])
async def test_a_caller_who_leaves_pays_about_what_an_api_bills_all_the_same(
    opened: Open, cheap: FakeProvider, set_budget: SetBudget, most: int, late: bool
) -> None:
    request = replace(ASKED, max_tokens=most)
    await set_budget((request.call().prompt_bytes + most) * MTOK)
    gate = opened(cheap)
    await gate.allowance.refresh()
    if late:
        cheap.failures = [DeadlineExceeded("its own time is used up")]
        with pytest.raises(DeadlineExceeded):
            await gate.ask(request)
    else:
        await leave(gate, cheap, request)
    tokens = request.call().prompt_bytes // 4 + min(most, USUAL_COMPLETION)
    assert await gate.spent() == (tokens * MTOK, 0)


async def test_own_hardware_bills_nobody_who_leaves(
    opened: Open, clock: ManualClock, set_budget: SetBudget
) -> None:
    await set_budget(WORST)
    gate = opened(own := FakeProvider("cheap", clock, self_hosted=True))
    await gate.allowance.refresh()
    await leave(gate, own)
    assert await gate.spent() == (0, 0)


async def test_an_unknown_price_is_refused_by_a_hard_budget_and_only_counted_by_a_soft_one(
    opened: Open, clock: ManualClock, set_budget: SetBudget
) -> None:
    await set_budget(100)
    gate = opened(FakeProvider("unpriced", clock))
    await gate.allowance.refresh()
    with pytest.raises(PriceUnknown, match="nobody knows what 'm' costs"):
        await gate.ask()
    await set_budget(100, hard=False)
    await gate.allowance.refresh()
    assert await gate.ask() == "unpriced"
    assert await gate.spent() == (0, 0)


async def test_a_private_call_is_told_of_its_budget(
    opened: Open, clock: ManualClock, set_budget: SetBudget
) -> None:
    await set_budget(0)
    gate = opened(FakeProvider("cheap", clock, private=True))
    await gate.allowance.refresh()
    with pytest.raises(BudgetExceeded):
        await gate.ask(replace(ASKED, requires_privacy=True))


async def text(gate: Gate) -> list[str]:
    return [part async for part in gate.router.route_stream(ASKED)]


async def test_a_stream_costs_what_it_says_at_its_end(
    opened: Open, remote: OpenAIProvider, set_budget: SetBudget
) -> None:
    await set_budget(1)
    gate = opened(remote)
    await gate.allowance.refresh()
    assert await text(gate) == ["Hello ", "there!"]
    assert await gate.spent() == (ANSWER, 0)


async def test_a_stream_that_tells_no_usage_is_unknown_on_the_ledger_and_guessed_for_budgets(
    opened: Open,
    remote: OpenAIProvider,
    upstream: Upstream,
    set_budget: SetBudget,
    lines: list[CallRecord],
) -> None:
    await set_budget(1)
    gate = opened(remote)
    await gate.allowance.refresh()
    words = [delta("word " * 50) for _ in range(8)]
    upstream.behaviour = streams(*words, delta(finish="stop"), b"data: [DONE]\n\n")
    await text(gate)
    assert lines[0].cost_usd is None
    cost, reserved = await gate.spent()
    written = len(b"".join(words))
    assert reserved == 0
    # A quarter of the text's bytes, and the prompt's.
    about = (PROMPT + written - 8 * FRAME_BYTES) // 4 * MTOK
    assert about * 4 < cost * 5 < about * 6
    assert cost < WORST


@pytest.mark.parametrize("cut", [True, False], ids=["cut by the provider", "left by the caller"])
async def test_a_stream_that_ends_early_costs_about_what_it_said(
    opened: Open, remote: OpenAIProvider, upstream: Upstream, set_budget: SetBudget, cut: bool
) -> None:
    await set_budget(1)
    gate = opened(remote)
    await gate.allowance.refresh()
    upstream.behaviour = streams(delta("a"), then=drops())
    if cut:
        with pytest.raises(UpstreamTruncated):
            await text(gate)
    else:
        stream = gate.router.route_stream(ASKED)
        assert await anext(stream) == "a"
        await stream.aclose()  # type: ignore[attr-defined]  # a generator is one
    cost, reserved = await gate.spent()
    assert reserved == 0
    assert PROMPT // 4 * MTOK < cost < 2 * PROMPT * MTOK


async def test_a_key_may_ask_so_often(
    opened: Open, cheap: FakeProvider, tenants: dict[str, Rates]
) -> None:
    gate = opened(cheap)
    often = replace(ASKED, terms=Terms(requests_per_minute=3))
    for left in (2, 1, 0):
        answer = await gate.router.dispatch(often.call())
        assert ("x-ratelimit-remaining-requests", str(left)) in answer.limits
    with pytest.raises(RateLimitExceeded, match="this key may use 3 requests a minute"):
        await gate.ask(often)
    # Another key of the tenant, and no key at all.
    await gate.ask(replace(often, key_id="k2"))
    await gate.ask()
    assert (await gate.router.dispatch(ASKED.call())).limits == ()
    tenants["acme"] = Rates(requests_per_minute=1)
    await gate.allowance.refresh()
    await gate.ask(replace(often, key_id="k3"))
    with pytest.raises(RateLimitExceeded, match="this tenant may use 1 requests"):
        await gate.ask(replace(often, key_id="k4"))


async def test_tokens_are_counted_as_they_are_used(
    opened: Open, cheap: FakeProvider, dear: FakeProvider, clock: ManualClock
) -> None:
    gate = opened(cheap)
    asked = replace(ASKED, terms=Terms(tokens_per_minute=1300))
    for _ in range(5):
        await gate.ask(asked)
    answer = await gate.router.dispatch(asked.call())
    told = dict(answer.limits)
    assert told["x-ratelimit-limit-tokens"] == "1300"
    assert told["x-ratelimit-remaining-tokens"] == str(1300 - 6 * 15)
    cheap.failures = [GONE]
    with pytest.raises(UpstreamUnavailable):
        await gate.ask(asked)
    assert dict((await gate.router.dispatch(asked.call())).limits)[
        "x-ratelimit-remaining-tokens"
    ] == str(1300 - 7 * 15)
    with pytest.raises(RequestTooLarge):
        await gate.ask(replace(asked, max_tokens=1301))


async def test_the_rest_of_a_call_is_no_further_request_but_uses_tokens(
    opened: Open, cheap: FakeProvider, dear: FakeProvider
) -> None:
    gate = opened(cheap)
    call = replace(ASKED, terms=Terms(requests_per_minute=2, tokens_per_minute=9000)).call()
    grant = await gate.allowance.admit(call)
    outcome = (await gate.router.dispatch(call)).outcome
    for each in (grant, grant.rest(call), grant.rest(call)):
        (await each.hold(outcome.price)).settle(outcome, None)
    told = dict(grant.headers)
    assert told["x-ratelimit-remaining-requests"] == "0"
    assert told["x-ratelimit-remaining-tokens"] == str(9000 - 4 * 15)


async def test_who_is_refused_for_one_limit_has_used_nothing_of_the_others(
    opened: Open, cheap: FakeProvider, tenants: dict[str, Rates]
) -> None:
    tenants["acme"] = Rates(requests_per_minute=1)
    gate = opened(cheap)
    await gate.allowance.refresh()
    asked = replace(ASKED, terms=Terms(tokens_per_minute=2100, requests_per_minute=10))
    await gate.ask(asked)
    for _ in range(5):
        with pytest.raises(RateLimitExceeded, match="this tenant"):
            await gate.ask(asked)
    tenants.clear()
    await gate.allowance.refresh()
    told = dict((await gate.router.dispatch(asked.call())).limits)
    assert told["x-ratelimit-remaining-tokens"] == str(2100 - 30)
    assert told["x-ratelimit-remaining-requests"] == "8"


async def test_a_key_may_use_its_models_only(
    opened: Open, cheap: FakeProvider, cluster: FakeProvider
) -> None:
    gate = opened(cluster, cheap)
    asked = replace(ASKED, terms=Terms(models=("qwen*", "m")))
    assert await gate.ask(asked) == "cluster"
    with pytest.raises(ModelNotAllowed) as refused:
        await gate.ask(replace(asked, terms=Terms(models=("qwen*", "gpt-?"))))
    assert refused.value.hint == "it may use: qwen*, gpt-?"
    assert len(cluster.seen) == 1
    assert cheap.seen == []


async def test_it_keeps_up_by_itself(
    opened: Open, cheap: FakeProvider, tenants: dict[str, Rates], clock: ManualClock
) -> None:
    gate = opened(cheap)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(gate.allowance.run())
        await asyncio.sleep(0)
        tenants["acme"] = Rates(requests_per_minute=1)
        while await gate.allowance.admit(ASKED.call()) is UNLIMITED:
            clock.advance(1)
            await asyncio.sleep(0)
        running.cancel()


def test_media_are_fewer_tokens_than_bytes_where_they_are_media() -> None:
    data = "A" * 160_000
    url = f"data:image/png;base64,{data}"
    chat = asking({"type": "image_url", "image_url": {"url": url}})
    message = asking({"type": "image", "source": {"data": data}})
    sound = asking({"type": "input_audio", "input_audio": {"data": data, "format": "wav"}})
    for body in (chat, message, sound):
        assert spared_by_media(body) >= len(data) - len(url) // 16
    # As a text the same bytes are a text.
    document = asking({"type": "document", "source": {"type": "text", "data": data}})
    assert spared_by_media(document) == 0
    assert spared_by_media({"messages": [{"role": "user", "content": data}]}) == 0
    assert spared_by_media({"input": data, "messages": [{"url": "https://short"}]}) == 0


def asking(part: JsonObject) -> JsonObject:
    return {"messages": [{"role": "user", "content": [part]}]}


async def test_a_large_picture_does_not_use_up_a_budget(
    opened: Open, cheap: FakeProvider, set_budget: SetBudget
) -> None:
    await set_budget("0.1")
    gate = opened(cheap)
    await gate.allowance.refresh()
    url = "data:image/png;base64," + "A" * 1_000_000
    picture: JsonObject = {"type": "image_url", "image_url": {"url": url}}
    asked = replace(ASKED, messages=[{"role": "user", "content": [picture]}])
    assert await gate.ask(asked) == "cheap"
    with pytest.raises(BudgetExceeded):
        await gate.ask(replace(ASKED, messages=[{"role": "user", "content": "A" * 1_000_000}]))
