from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from agentcore.kit.errors import DeadlineExceeded
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonValue
from agentcore.llm_gateway.accounts import Accounts
from agentcore.llm_gateway.allowance import Grant, Unlimited
from agentcore.llm_gateway.errors import (
    InvalidChatRequest,
    ModelNotAllowed,
    UpstreamTruncated,
    UpstreamUnavailable,
)
from agentcore.llm_gateway.models import CallRecord, ChatCall
from agentcore.llm_gateway.policy import policy_of
from agentcore.llm_gateway.providers.openai import OpenAIProvider
from agentcore.llm_gateway.providers.routed import Answer
from agentcore.llm_gateway.response_cache import ENTRY_BYTES, ResponseCache
from agentcore.llm_gateway.terms import Terms
from agentcore.llm_gateway.traffic import CacheConfig
from agentcore.llm_gateway.wire import PlainReply
from tests.fakes.clock import ManualClock
from tests.fakes.llm_provider import FakeProvider
from tests.fakes.llm_upstream import Upstream, delta, stalls, streams
from tests.fakes.waiting import eventually
from tests.unit.llm_gateway.conftest import Build

CALL = ChatCall(
    "m",
    {"model": "m", "messages": [{"role": "user", "content": "Hello"}], "temperature": 0},
    tenant="acme",
    subject="ann",
    cache_seconds=60.0,
)

STREAM = CALL._replace(stream=True, body={**CALL.body, "stream": True})


class Cached:
    def __init__(
        self,
        build: Build,
        accounts: Accounts,
        clock: ManualClock,
        ids: Ids,
        **config: Any,
    ) -> None:
        self.own = FakeProvider("cluster", clock, private=True, self_hosted=True)
        self.api = FakeProvider("cheap", clock)
        self.router = build(self.own, self.api)
        self.cache = ResponseCache(
            CacheConfig.model_validate(config), self.router, accounts=accounts, clock=clock, ids=ids
        )

    async def ask(self, **different: Any) -> Answer:
        return await self.cache.dispatch(CALL._replace(**different))

    @property
    def asked(self) -> int:
        return len(self.own.seen) + len(self.api.seen)


@pytest.fixture
async def cached(build: Build, accounts: Accounts, clock: ManualClock, ids: Ids) -> Cached:
    return Cached(build, accounts, clock, ids)


async def test_the_same_is_not_asked_twice(cached: Cached, lines: list[CallRecord]) -> None:
    first, second = await cached.ask(), await cached.ask(subject="bob", trace_id="t2")
    assert isinstance(second.reply, PlainReply)
    assert second.reply == first.reply
    assert (first.cached, second.cached, cached.asked) == (False, True, 1)
    assert [(line.status, line.subject, line.provider) for line in lines] == [
        ("success", "ann", "cluster"),
        ("cached", "bob", "cluster"),
    ]
    assert lines[1].cost_usd == 0
    assert lines[0].id != lines[1].id == second.id


OTHERS: list[dict[str, Any]] = [
    {"tenant": "other"},
    {"requires_privacy": True},
    {"body": {**CALL.body, "temperature": 1}},
    {"policy": policy_of({"sort": "price"})},
    {"beta": "context-1m-2025-08-07"},
    {"cache_seconds": None},
]


@pytest.mark.parametrize("different", OTHERS, ids=lambda each: next(iter(each)))
async def test_what_differs_is_asked(cached: Cached, different: dict[str, Any]) -> None:
    await cached.ask()
    assert not (await cached.ask(**different)).cached
    assert not (await cached.ask(**{**different, "cache_seconds": None})).cached
    assert (await cached.ask()).cached


async def test_who_asks_is_no_difference(cached: Cached) -> None:
    body = {"temperature": 0, "user": "ann", "metadata": {"a": "b"}, **CALL.body}
    await cached.ask(body=body)
    assert (await cached.ask()).cached


async def test_an_answer_may_be_too_old(cached: Cached, clock: ManualClock) -> None:
    await cached.ask(cache_seconds=1.0)
    clock.advance(50)
    assert (await cached.ask()).cached
    assert not (await cached.ask(cache_seconds=49.0)).cached
    clock.advance(3601)
    assert not (await cached.ask(cache_seconds=86_400.0)).cached


async def test_an_answer_of_who_may_not_be_used_is_not_given(cached: Cached) -> None:
    await cached.ask()
    cached.own.destination = cached.own.destination.__class__("cluster", self_hosted=True)
    cached.own.models = ("other",)
    answer = await cached.ask()
    assert (answer.cached, answer.provider) == (False, "cheap")


async def test_private_answers_stay_with_private_calls(cached: Cached) -> None:
    await cached.ask(requires_privacy=True)
    assert not (await cached.ask()).cached
    assert (await cached.ask(requires_privacy=True)).cached


async def test_what_runs_at_once_is_asked_once(cached: Cached) -> None:
    cached.own.free.clear()
    tasks = [asyncio.create_task(cached.ask(subject=f"s{number}")) for number in range(5)]
    await asyncio.sleep(0.01)
    cached.own.free.set()
    answers = await asyncio.gather(*tasks)
    assert cached.asked == 1
    assert sorted(answer.cached for answer in answers) == [False, True, True, True, True]


async def test_who_leaves_takes_nobody_along(cached: Cached) -> None:
    cached.own.free.clear()
    first = asyncio.create_task(cached.ask())
    await asyncio.sleep(0)
    others = [asyncio.create_task(cached.ask()) for _ in range(3)]
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    cached.own.free.set()
    answers = await asyncio.gather(*others)
    assert cached.asked == 2
    assert sorted(answer.cached for answer in answers) == [False, True, True]


async def test_a_failure_is_not_waited_for_again_and_again(cached: Cached) -> None:
    cached.own.free.clear()
    cached.own.failures.append(UpstreamUnavailable("gone"))
    cached.api.failures.append(UpstreamUnavailable("gone"))
    tasks = [asyncio.create_task(cached.ask()) for _ in range(3)]
    await asyncio.sleep(0.01)
    cached.own.free.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[0], UpstreamUnavailable)
    assert [isinstance(each, Answer) for each in results[1:]] == [True, True]
    assert len(cached.own.seen) == 3


async def test_what_is_not_kept_is_not_waited_for_again_and_again(
    build: Build, accounts: Accounts, clock: ManualClock, ids: Ids
) -> None:
    cached = Cached(build, accounts, clock, ids, largest=1)
    cached.own.free.clear()
    tasks = [asyncio.create_task(cached.ask()) for _ in range(4)]
    await asyncio.sleep(0.01)
    assert cached.asked == 1
    cached.own.free.set()
    cached.own.free.clear()
    await tasks[0]
    await asyncio.sleep(0.01)
    assert cached.asked == 4
    cached.own.free.set()
    await asyncio.gather(*tasks)


async def test_waiting_has_the_calls_own_end(cached: Cached, clock: ManualClock) -> None:
    cached.own.free.clear()
    first = asyncio.create_task(cached.ask())
    await asyncio.sleep(0)
    with pytest.raises(DeadlineExceeded):
        await cached.ask(deadline=clock.monotonic() + 0.01)
    cached.own.free.set()
    await first


@pytest.mark.parametrize("config", [{"bytes": 0}, {"largest": 10}])
async def test_what_has_no_room_is_not_kept(
    build: Build, accounts: Accounts, clock: ManualClock, ids: Ids, config: dict[str, int]
) -> None:
    cached = Cached(build, accounts, clock, ids, **config)
    await cached.ask()
    assert not (await cached.ask()).cached
    assert cached.cache.size == 0


async def test_small_answers_count_with_what_belongs_to_them(cached: Cached) -> None:
    answer = await cached.ask()
    assert isinstance(answer.reply, PlainReply)
    assert cached.cache.size == len(answer.reply.body) + ENTRY_BYTES
    again = await cached.ask()
    assert again.cached
    assert again.reply == answer.reply


async def test_a_newer_answer_takes_the_place_of_the_old_one(
    cached: Cached, clock: ManualClock
) -> None:
    await cached.ask()
    size = cached.cache.size
    clock.advance(61)
    assert not (await cached.ask()).cached
    assert cached.cache.size == size
    clock.advance(60)
    assert (await cached.ask()).cached, "it is as old as it may be, and no older"


async def test_what_is_nested_too_deep_is_refused(cached: Cached) -> None:
    deep: JsonValue = []
    for _ in range(400):
        deep = [deep]
    with pytest.raises(InvalidChatRequest, match="too deep"):
        await cached.ask(body={**CALL.body, "tools": deep})


async def test_its_memory_is_bounded_and_the_oldest_go_first(
    build: Build, accounts: Accounts, clock: ManualClock, ids: Ids
) -> None:
    one = Cached(build, accounts, clock, ids)
    await one.ask()
    cached = Cached(build, accounts, clock, ids, bytes=2 * one.cache.size)
    bodies = [{**CALL.body, "seed": number} for number in range(3)]
    for body in (*bodies[:2], bodies[0], bodies[2]):
        await cached.ask(body=body)
    assert cached.cache.size == 2 * one.cache.size
    assert [(await cached.ask(body=body)).cached for body in bodies] == [True, False, False]


@pytest.fixture
def streamed(
    build: Build, accounts: Accounts, clock: ManualClock, ids: Ids, remote: OpenAIProvider
) -> ResponseCache:
    return ResponseCache(CacheConfig(), build(remote), accounts=accounts, clock=clock, ids=ids)


async def test_a_stream_is_kept_when_it_is_whole(
    streamed: ResponseCache, remote: OpenAIProvider, upstream: Upstream, lines: list[CallRecord]
) -> None:
    upstream.behaviours = [
        streams(delta("Hel")),
        streams(delta("Hel"), delta("lo"), delta(finish="stop")),
    ]

    async def read() -> tuple[bytes, bool]:
        answer = await streamed.dispatch(STREAM)
        assert not isinstance(answer.reply, PlainReply)
        parts = []
        try:
            while block := await answer.reply.next():
                parts.append(block)
        finally:
            answer.reply.close()
        return b"".join(parts), answer.cached

    with pytest.raises(UpstreamTruncated):
        await read()
    whole, hit = await read()
    assert not hit
    assert await read() == (whole, True)
    assert b"[DONE]" in whole
    assert len(upstream.bodies) == 2
    assert [line.status for line in lines] == ["upstream_truncated", "success", "cached"]


async def test_who_leaves_a_stream_ends_it_and_keeps_nothing(
    streamed: ResponseCache, remote: OpenAIProvider, upstream: Upstream, lines: list[CallRecord]
) -> None:
    upstream.behaviour = streams(delta("Hel"), then=stalls())
    answer = await streamed.dispatch(STREAM)
    assert not isinstance(answer.reply, PlainReply)
    assert b"Hel" in await answer.reply.next()
    answer.reply.close()
    await eventually(lambda: upstream.cut_off)
    assert [line.status for line in lines] == ["cancelled"]
    assert (remote.gate.in_flight, streamed.size) == (0, 0)


async def test_a_key_gets_no_answer_of_a_model_that_it_is_not_for(cached: Cached) -> None:
    await cached.ask()
    assert (await cached.ask()).cached
    with pytest.raises(ModelNotAllowed):
        await cached.ask(terms=Terms(models=("other",)))
    assert (await cached.ask(terms=Terms(models=("m",)))).cached
    assert cached.asked == 1


async def test_what_one_caller_is_told_of_its_limits_no_other_hears(cached: Cached) -> None:
    class Told(Unlimited):
        headers: Sequence[tuple[str, str]] = (("x-ratelimit-limit-requests", "1"),)

        async def admit(self, call: ChatCall) -> Grant:
            return Told()

    cached.router.guarded_by(Told())
    assert (await cached.ask()).limits
    again = await cached.ask()
    assert again.cached
    assert again.limits == ()
