"""Streams that broke off, over real sockets: who goes on with them, and how it reads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from agentcore.kit.clock import SystemClock
from agentcore.kit.errors import AgentCoreError
from agentcore.llm_gateway.clearance import Destination
from agentcore.llm_gateway.errors import UpstreamTruncated
from agentcore.llm_gateway.models import CallRecord, ChatCall
from agentcore.llm_gateway.policy import NO_POLICY
from agentcore.llm_gateway.providers.openai import OpenAIProvider
from agentcore.llm_gateway.replies import chunks_of, text_of
from agentcore.llm_gateway.transport import ConnectionPool
from agentcore.llm_gateway.wire import PlainReply
from tests.fakes.llm_holds import CountingGuard
from tests.fakes.llm_upstream import (
    Behaviour,
    Upstream,
    delta,
    event,
    events_of,
    fails,
    llm_upstream,
    streams,
)
from tests.unit.llm_gateway.conftest import Build, api_at

QUESTION: dict[str, Any] = {"role": "user", "content": "Count"}
CALL = ChatCall(
    "m",
    {"model": "m", "messages": [QUESTION], "stream": True, "max_tokens": 9},
    stream=True,
    resume=True,
)
BEGUN = (delta(role=True), delta("one "), delta("two "))
CUT = streams(*BEGUN)


@pytest.fixture
async def upstreams() -> AsyncIterator[list[Upstream]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(llm_upstream()) for _ in range(3)]


class Asking:
    """Providers ``a``, ``b`` and ``c``, asked in this order."""

    def __init__(self, build: Build, upstreams: list[Upstream], pool: ConnectionPool) -> None:
        self.guard = CountingGuard()
        self._build = build
        self._upstreams = upstreams
        self._pool = pool

    async def read(
        self, *behaviours: Behaviour, call: ChatCall = CALL, continuing: str = "bc"
    ) -> tuple[bytes, AgentCoreError | None]:
        """What the caller reads, and the failure that ended it."""
        built = []
        for name, upstream, behaviour in zip("abc", self._upstreams, behaviours, strict=False):
            upstream.behaviour = behaviour
            there = Destination(name, private=name != "b")
            more: dict[str, Any] = {"destination": there, "models": {"m": "theirs"}}
            built.append(api_at(OpenAIProvider, upstream, self._pool, SystemClock(), **more))
        known = frozenset(continuing)
        router = self._build(*built, continuing=known)
        router.guarded_by(self.guard)
        answer = await router.dispatch(call)
        assert not isinstance(answer.reply, PlainReply)
        out = b""
        try:
            while block := await answer.reply.next():
                out += block
        except AgentCoreError as error:
            return out, error
        finally:
            answer.reply.close()
        return out, None


@pytest.fixture
def asking(build: Build, upstreams: list[Upstream], pool: ConnectionPool) -> Asking:
    return Asking(build, upstreams, pool)


def said(out: bytes) -> str:
    return "".join(text_of(out))


async def test_another_one_goes_on_where_it_broke_off(
    asking: Asking, upstreams: list[Upstream], lines: list[CallRecord]
) -> None:
    rest = streams(*events_of("three four", usage=True))
    out, failure = await asking.read(CUT, rest)
    assert failure is None
    assert said(out) == "one two three four"
    assert out.count(b"[DONE]") == 1
    assert out.count(b'"role"') == 1
    assert len({chunk["id"] for chunk in chunks_of(out)}) == 1
    asked = upstreams[1].bodies[0]
    assert asked["messages"] == [QUESTION, {"role": "assistant", "content": "one two "}]
    assert (asked["continue_final_message"], asked["add_generation_prompt"]) == (True, False)
    assert asked["max_tokens"] == 7
    assert [(line.provider, line.status) for line in lines] == [
        ("a", "upstream_truncated"),
        ("b", "success"),
    ]


async def test_events_in_any_spelling_are_carried_on(asking: Asking) -> None:
    first = delta(role=True), b'data: {"choices":\ndata: [{"delta": {"content": "one "}}]}\n\n'
    rest = streams(*events_of("two", usage=False)[:-1], b"data:[DONE]\n\n")
    out, failure = await asking.read(streams(*first), rest)
    assert (said(out), failure) == ("one two", None)
    assert out.endswith(b"data: [DONE]\n\n")


async def test_a_third_one_goes_on_where_the_second_broke_off(
    asking: Asking, upstreams: list[Upstream]
) -> None:
    second = streams(delta(role=True), delta("three "))
    out, failure = await asking.read(CUT, second, streams(*events_of("four", usage=False)))
    assert failure is None
    assert said(out) == "one two three four"
    assert upstreams[2].bodies[0]["messages"][-1]["content"] == "one two three "
    assert asking.guard.admitted == 1
    assert asking.guard.ends("m") == [["settled"]] * 3


@pytest.mark.parametrize("gone", [CUT, fails(500)], ids=["cut", "down"])
async def test_what_nobody_can_go_on_with_ends_with_a_failure(
    asking: Asking, gone: Behaviour
) -> None:
    out, failure = await asking.read(CUT, gone, continuing="b")
    assert isinstance(failure, UpstreamTruncated)
    assert b"[DONE]" not in out


def calling(**more: Any) -> ChatCall:
    return CALL._replace(body={**CALL.body, **more})


@pytest.mark.parametrize(
    ("call", "begun", "continuing"),
    [
        (CALL._replace(resume=False), BEGUN, "bc"),
        (CALL, BEGUN, ""),
        (CALL, BEGUN, "a"),
        (CALL._replace(policy=NO_POLICY._replace(allow_fallbacks=False)), BEGUN, "bc"),
        (CALL._replace(policy=NO_POLICY._replace(only=frozenset("a"))), BEGUN, "bc"),
        (CALL._replace(requires_privacy=True), BEGUN, "b"),
        (CALL._replace(cache_seconds=5.0), BEGUN, "bc"),
        (calling(n=2), BEGUN, "bc"),
        (CALL, (event({"choices": [{"index": 0, "delta": {"tool_calls": [{}]}}]}),), "bc"),
        (CALL, (*BEGUN, event({"choices": [{"index": 0, "delta": {"reasoning": "h"}}]})), "bc"),
        (CALL, (*BEGUN, delta(finish="stop"), b'data: {"choices": ['), "bc"),
    ],
    ids=[
        "not wanted",
        "nobody can",
        "only itself can",
        "no fallbacks",
        "nobody else may",
        "private",
        "cached",
        "several",
        "tools",
        "thoughts",
        "was whole",
    ],
)
async def test_who_is_not_asked_to_go_on(
    asking: Asking,
    upstreams: list[Upstream],
    call: ChatCall,
    begun: tuple[bytes, ...],
    continuing: str,
) -> None:
    healthy = streams(*events_of("three", usage=False))
    await asking.read(streams(*begun), healthy, healthy, call=call, continuing=continuing)
    assert upstreams[0].bodies
    assert upstreams[1].bodies == upstreams[2].bodies == []


async def test_a_private_answer_is_carried_on_in_private(
    asking: Asking, upstreams: list[Upstream]
) -> None:
    healthy = streams(*events_of("three", usage=False))
    out, failure = await asking.read(
        CUT, healthy, healthy, call=CALL._replace(requires_privacy=True)
    )
    assert (said(out), failure) == ("one two three", None)
    assert upstreams[1].bodies == []
