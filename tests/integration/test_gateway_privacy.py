"""Private bytes over real connections: random providers, health, faults and fallbacks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from agentcore.kit.clock import SystemClock
from agentcore.kit.ids import Ids
from agentcore.kit.security import Principal
from agentcore.llm_gateway.accounts import Accounts
from agentcore.llm_gateway.gateway import build_provider
from agentcore.llm_gateway.ingress import OpenAIEndpoint
from agentcore.llm_gateway.metrics import GatewayMetrics
from agentcore.llm_gateway.models import ProviderConfig, Timeouts
from agentcore.llm_gateway.prices import PriceBook
from agentcore.llm_gateway.providers.hybrid_router import BreakerPolicy, HybridRouter
from agentcore.llm_gateway.transport import ConnectionPool
from tests.fakes.asgi_call import Call
from tests.fakes.llm_upstream import (
    Behaviour,
    Upstream,
    answers,
    delta,
    drops,
    event,
    fails,
    llm_upstream,
    says,
    streams,
)

SECRET = "the patient's name is Ann"
KINDS = ("parallax", "compatible", "openai", "compatible")
QUICK = Timeouts(connect=0.5, first_byte=0.2, idle=0.2, total=0.5)
BEHAVIOURS: dict[str, Behaviour] = {
    "well": says("Hello"),
    "down": fails(503),
    "busy": fails(429),
    "refused": fails(401),
    "missing": fails(404),
    "wrong": fails(400),
    "dropped": drops(),
    "a page": answers(b"<html>", "text/html"),
    "bare error": streams(b'{"error": {"message": "no", "code": "server_not_ready"}}'),
    "cut": streams(delta("a"), then=drops()),
    "error": streams(delta("a"), event({"error": {"message": "no"}})),
}
MARKS: dict[str, dict[str, Any]] = {
    "header": {"headers": {"x_agentcore_private": "true"}},
    "body": {"body": {"metadata": {"agentcore_private": True}}},
    "key": {
        "principal": Principal(subject="a", tenant="t", scopes=frozenset({"llm"}), private=True)
    },
}


@dataclass(frozen=True)
class Plan:
    """One provider: is it private, does it serve, how does it behave in turn, is it listening?"""

    private: bool
    serves: bool
    behaviours: tuple[str, ...]
    listening: bool
    ready: bool


PLANS = st.lists(
    st.builds(
        Plan,
        st.booleans(),
        st.sampled_from([True, True, True, False]),
        st.lists(st.sampled_from(sorted(BEHAVIOURS)), max_size=4).map(tuple),
        st.sampled_from([True, True, True, False]),
        st.booleans(),
    ),
    min_size=1,
    max_size=len(KINDS),
)
CALLS = st.lists(
    st.tuples(st.sampled_from([None, *MARKS]), st.booleans(), st.sampled_from(["high", "low"])),
    min_size=1,
    max_size=6,
)


@pytest.fixture(scope="module")
async def upstreams() -> AsyncIterator[list[Upstream]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(llm_upstream()) for _ in KINDS]


@pytest.fixture(scope="module")
async def pool() -> AsyncIterator[ConnectionPool]:
    opened = ConnectionPool(SystemClock())
    yield opened
    opened.close()


@pytest.fixture(scope="module")
async def prices() -> PriceBook:
    book = PriceBook([], reference_model="gpt-5-mini", clock=SystemClock())
    await book.load()
    return book


def planned(plan: Plan, kind: str, number: int, upstream: Upstream) -> ProviderConfig:
    url = upstream.url if plan.listening else "http://127.0.0.1:9"
    model = "m" if plan.serves else "other"
    return ProviderConfig.model_validate(
        {
            "name": f"p{number}",
            "kind": kind,
            "base_url": url if kind == "parallax" else f"{url}/v1",
            "private": plan.private,
            "models": {model: "theirs"},
            "timeouts": QUICK.model_dump(),
        }
    )


def routed(
    configured: list[ProviderConfig], pool: ConnectionPool, prices: PriceBook
) -> HybridRouter:
    clock = SystemClock()
    built = [build_provider(each, pool, clock) for each in configured]
    accounts = Accounts(
        prices=prices,
        metrics=GatewayMetrics(CollectorRegistry()),
        record=lambda _: None,
        clock=clock,
    )
    return HybridRouter(
        [each for each in built if each.destination.self_hosted],
        {each.destination.name: each for each in built if not each.destination.self_hosted},
        accounts=accounts,
        clock=clock,
        ids=Ids(),
        breakers=BreakerPolicy(failures=2, recovery_seconds=0.05),
    )


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(plans=PLANS, calls=CALLS)
async def test_private_bytes_never_leave(
    upstreams: list[Upstream],
    pool: ConnectionPool,
    prices: PriceBook,
    plans: list[Plan],
    calls: list[tuple[str | None, bool, str]],
) -> None:
    configured = []
    for number, (plan, kind, upstream) in enumerate(zip(plans, KINDS, upstreams, strict=False)):
        upstream.raw.clear()
        upstream.behaviours = [BEHAVIOURS[name] for name in plan.behaviours]
        upstream.tell(status="available" if plan.ready else "waiting")
        configured.append(planned(plan, kind, number, upstream))
    router = routed(configured, pool, prices)
    for provider in router.providers.values():
        await provider.get_available_models()
    endpoint = OpenAIEndpoint(lambda: router, clock=SystemClock(), max_body_bytes=100_000)
    for mark, stream, priority in calls:
        marked = MARKS[mark] if mark else {}
        text = SECRET if mark else "Hello"
        body = {
            "model": "m",
            "messages": [{"role": "user", "content": text}],
            "stream": stream,
            **marked.get("body", {}),
        }
        credential = {"principal": marked["principal"]} if "principal" in marked else {}
        headers = {"x_agentcore_priority": priority, **marked.get("headers", {})}
        call = await Call(endpoint, json.dumps(body).encode(), **credential, **headers).run()
        assert call.complete
    for plan, upstream in zip(plans, upstreams, strict=False):
        assert plan.private or not any(SECRET.encode() in raw for raw in upstream.raw)
