"""Private bytes over real connections: whatever is configured, fails, is kept, copied or changed.

Random providers, faults, canaries, shadows, hedges and budgets of time, the cache and calls that
are asked for at once, callers of two tenants in every dialect, and another configuration in the
middle. Providers repeat what they are told in answers and errors. Nothing of it may be seen by a
provider that is not private, by a caller that did not say it, or by anybody who looks at logs,
spans, metrics, decisions or the ledger later.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from io import StringIO
from itertools import count
from typing import Any

import pytest
from aiohttp import web
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest
from structlog.testing import capture_logs

from agentcore.kit.clock import SystemClock
from agentcore.kit.ids import Ids
from agentcore.kit.security import Principal
from agentcore.kit.supervisor import Supervisor
from agentcore.llm_gateway.accounts import Accounts
from agentcore.llm_gateway.fleet import Fleet
from agentcore.llm_gateway.gateway import build_provider
from agentcore.llm_gateway.ingress import OpenAIEndpoint
from agentcore.llm_gateway.metrics import GatewayMetrics
from agentcore.llm_gateway.models import CallRecord, GatewayConfig, ProviderKind
from agentcore.llm_gateway.prices import PriceBook
from agentcore.llm_gateway.providers.hybrid_router import HybridRouter
from agentcore.llm_gateway.response_cache import ResponseCache
from agentcore.llm_gateway.spans import CallSpans
from agentcore.llm_gateway.transport import ConnectionPool
from agentcore.observability.tracing import OtelTracing
from tests.fakes.asgi_call import Call
from tests.fakes.llm_apis import heard
from tests.fakes.llm_speech import Fault
from tests.fakes.llm_upstream import (
    SERVING,
    Behaviour,
    Upstream,
    answers,
    drops,
    llm_upstream,
    streams,
)

# A word, so that no stream parts it.
SECRET = "the-patient-is-Ann"
DETECTED = "ann@clinic.example"
OPEN_TEXTS = ("Hello", "What is new?")
KINDS: tuple[ProviderKind, ...] = ("parallax", "compatible", "anthropic", "gemini", "openai")
QUICK = {"connect": 0.5, "first_byte": 0.2, "idle": 0.2, "total": 0.5}
NUMBERS = count(1)
LATE_SECONDS = 0.004


async def told(request: web.Request) -> str:
    """A number of its own, and what of the request is a secret."""
    number = f"no{next(NUMBERS):06}"
    return f"{number} {SECRET}" if SECRET.encode() in await request.read() else number


def faulty(status: int, kind: Fault) -> Behaviour:
    async def behave(request: web.Request) -> web.StreamResponse:
        speech = heard(request.path, await request.json()).speech
        return web.json_response(speech.fault(kind, await told(request)), status=status)

    return behave


async def well(request: web.Request) -> web.StreamResponse:
    asked, said = heard(request.path, await request.json()), await told(request)
    if not asked.speech.opening:
        return web.json_response(asked.speech.whole(said))
    return await asked.speech.says(said)(request)


async def late(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(LATE_SECONDS)
    return await well(request)


def begun(*, failing: bool) -> Behaviour:
    """Some words, and then an error or nothing more."""

    async def behave(request: web.Request) -> web.StreamResponse:
        speech, said = heard(request.path, await request.json()).speech, await told(request)
        parts = [speech.opening, speech.part(said)]
        if failing:
            return await streams(*parts, speech.failing("down", said))(request)
        return await streams(*parts, then=drops())(request)

    return behave


BEHAVIOURS: dict[str, Behaviour] = {
    "well": well,
    "late": late,
    "down": faulty(503, "down"),
    "busy": faulty(429, "busy"),
    "refused": faulty(401, "down"),
    "missing": faulty(404, "down"),
    "wrong": faulty(400, "theirs"),
    "an error behind 200": faulty(200, "down"),
    "dropped": drops(),
    "a page": answers(b"<html>", "text/html"),
    "cut": begun(failing=False),
    "error": begun(failing=True),
}


@dataclass(frozen=True)
class Plan:
    """A provider: is it private, also later, does it serve, answer, listen, and is it ready?"""

    private: bool
    later: bool
    serves: bool
    behaviours: tuple[str, ...]
    listening: bool
    ready: bool


@dataclass(frozen=True)
class Asked:
    """``mark`` is how the call says that it is private, if it is."""

    mark: str
    path: str
    stream: bool
    priority: str
    text: int
    cached: bool
    tenant: str


MOSTLY = st.sampled_from([True, True, True, False])
PLANS = st.lists(
    st.builds(
        Plan,
        st.booleans(),
        st.booleans(),
        MOSTLY,
        st.lists(st.sampled_from(sorted(BEHAVIOURS)), max_size=4).map(tuple),
        MOSTLY,
        st.booleans(),
    ),
    min_size=2,
    max_size=len(KINDS),
)
CALLS = st.lists(
    st.builds(
        Asked,
        st.sampled_from(["", "", "header", "body", "key", "model", "tenant", "detected", "unsaid"]),
        st.sampled_from(
            ["/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/embeddings"]
        ),
        st.booleans(),
        st.sampled_from(["high", "low"]),
        st.integers(0, 1),
        st.booleans(),
        st.sampled_from(["acme", "other"]),
    ),
    min_size=1,
    max_size=5,
)


@dataclass
class World:
    """A whole gateway, but for its database. ``seen``: who got which numbered answer."""

    upstreams: list[Upstream]
    router: HybridRouter
    fleet: Fleet
    endpoint: OpenAIEndpoint
    registry: CollectorRegistry
    lines: list[CallRecord]
    exporter: InMemorySpanExporter
    seen: dict[str, set[tuple[str, bool]]] = field(default_factory=lambda: defaultdict(set))

    async def ask(self, asked: Asked) -> None:
        private = asked.mark != ""
        call = await calling(self.endpoint, asked).run()
        assert call.complete
        heard_of = repr(call.sent)
        assert private or SECRET not in heard_of, asked
        start = heard_of.find("no0")
        while start >= 0:
            self.seen[heard_of[start : start + 8]].add((asked.tenant, private))
            start = heard_of.find("no0", start + 1)

    def leaks(self, private: Sequence[bool]) -> list[int]:
        """The upstreams that saw what they may not; what they saw is forgotten."""
        found = [
            number
            for number, (upstream, may) in enumerate(zip(self.upstreams, private, strict=False))
            if not may and any(SECRET.encode() in raw for raw in upstream.raw)
        ]
        for upstream in self.upstreams:
            upstream.raw.clear()
        return found

    def left_behind(self) -> str:
        """All that those can read who look at the gateway later."""
        spans = [(span.name, dict(span.attributes or {})) for span in self._spans()]
        decisions = list(self.router.decisions.read(None, 1000))
        metrics = generate_latest(self.registry).decode()
        return repr((spans, decisions, self.lines, metrics))

    def _spans(self) -> Any:
        return self.exporter.get_finished_spans()


def calling(endpoint: OpenAIEndpoint, asked: Asked) -> Call:
    # Of who only says to be private the cache could take the answer for that of an open call.
    text = SECRET if asked.mark not in {"", "unsaid"} else OPEN_TEXTS[asked.text]
    if asked.mark == "detected":
        text += f" {DETECTED}"
    body: dict[str, Any] = {"model": "secret-m" if asked.mark == "model" else "m"}
    if asked.path == "/v1/embeddings":
        body["input"] = text
    elif asked.path == "/v1/responses":
        body |= {"input": text, "stream": asked.stream}
    else:
        body |= {"messages": [{"role": "user", "content": text}], "stream": asked.stream}
        body["max_tokens"] = 9
    if asked.mark == "body":
        body["metadata"] = {"agentcore_private": "true"}
    headers = {"x_agentcore_priority": asked.priority}
    if asked.cached:
        headers["x_agentcore_cache"] = "60"
    if asked.mark in {"header", "unsaid"}:
        headers["x_agentcore_private"] = "true"
    tenant = "clinic" if asked.mark == "tenant" else asked.tenant
    principal = Principal(
        subject="a", tenant=tenant, scopes=frozenset({"llm"}), private=asked.mark == "key"
    )
    raw = json.dumps(body).encode()
    return Call(endpoint, raw, path=asked.path, principal=principal, **headers)


def configured(
    plans: Sequence[Plan], upstreams: Sequence[Upstream], traffic: dict[str, Any], *, later: bool
) -> GatewayConfig:
    providers = []
    for number, (plan, kind, upstream) in enumerate(zip(plans, KINDS, upstreams, strict=False)):
        url = upstream.url if plan.listening else "http://127.0.0.1:9"
        name = "m" if plan.serves else "other"
        providers.append(
            {
                "name": f"p{number}",
                "kind": kind,
                "base_url": url if kind == "parallax" else f"{url}/v1",
                "private": plan.later if later else plan.private,
                "models": {name: "theirs", f"secret-{name}": "theirs"},
                "timeouts": QUICK,
                "price": {"input": "1", "output": "1"},
            }
        )
    return GatewayConfig.model_validate(
        {
            "providers": providers,
            "privacy": {"models": ["secret-*"], "tenants": ["clinic"], "detector": "builtin"},
            "traffic": traffic,
            "queue": {"gather": 0},
            "breaker_failures": 3,
            "breaker_recovery": 0.05,
        }
    )


@st.composite
def traffics(draw: Callable[..., Any]) -> dict[str, Any]:
    """Copies and trials for models both open and private, by whoever there is."""
    chosen = st.sampled_from(["p0", "p1"])
    models = ("m", "secret-m")
    return {
        "self_hosted_share": draw(st.sampled_from([1.0, 0.0])),
        "shadows": [{"model": model, "provider": draw(chosen)} for model in models],
        "canaries": [
            {"model": model, "provider": draw(chosen), "share": draw(st.sampled_from([0.0, 1.0]))}
            for model in models
        ],
        "hedge": {"share": draw(st.sampled_from([0.0, 1.0])), "floor": 0.001},
    }


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


async def world_of(
    stack: AsyncExitStack,
    upstreams: list[Upstream],
    pool: ConnectionPool,
    prices: PriceBook,
    config: GatewayConfig,
) -> World:
    clock, ids = SystemClock(), Ids()
    registry, lines, exporter = CollectorRegistry(), list[CallRecord](), InMemorySpanExporter()
    tracing = TracerProvider(shutdown_on_exit=False)
    tracing.add_span_processor(SimpleSpanProcessor(exporter))
    kinds: dict[str, ProviderKind] = {}
    spans, metrics = CallSpans(OtelTracing(tracing), kinds), GatewayMetrics(registry)

    def record(line: CallRecord) -> None:
        lines.append(line)
        spans.write(line)

    accounts = Accounts(prices=prices, metrics=metrics, record=record, clock=clock)
    router = HybridRouter([], {}, accounts=accounts, clock=clock, ids=ids)
    fleet = Fleet(
        config,
        router,
        build=lambda each, queue: build_provider(each, pool, clock, queue),
        kinds=kinds,
        supervisor=await stack.enter_async_context(Supervisor(clock)),
        metrics=metrics,
        clock=clock,
    )
    fleet.start()
    front = ResponseCache(config.cache, router, accounts=accounts, clock=clock, ids=ids)
    endpoint = OpenAIEndpoint(lambda: front, clock=clock, max_body_bytes=100_000)
    return World(upstreams, router, fleet, endpoint, registry, lines, exporter)


@contextmanager
def library_logs() -> Iterator[StringIO]:
    """What is logged in the standard library's way, down to the last detail."""
    written = StringIO()
    handler, root = logging.StreamHandler(written), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield written
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


@settings(
    max_examples=40,
    deadline=None,
    # To find a smaller example takes minutes over real connections.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(plans=PLANS, traffic=traffics(), first=CALLS, amid=CALLS, last=CALLS)
async def test_private_bytes_are_seen_by_nobody_else(
    upstreams: list[Upstream],
    pool: ConnectionPool,
    prices: PriceBook,
    plans: list[Plan],
    traffic: dict[str, Any],
    first: list[Asked],
    amid: list[Asked],
    last: list[Asked],
) -> None:
    for plan, upstream in zip(plans, upstreams, strict=False):
        upstream.raw.clear()
        upstream.behaviour = well
        upstream.behaviours = [BEHAVIOURS[name] for name in plan.behaviours]
        upstream.status = SERVING if plan.ready else {**SERVING, "status": "waiting"}
    before = configured(plans, upstreams, traffic, later=False)
    after = configured(plans, upstreams, traffic, later=True)
    with capture_logs() as logs, library_logs() as others:
        async with AsyncExitStack() as stack:
            world = await world_of(stack, upstreams, pool, prices, before)
            for asked in first:
                await world.ask(asked)
            # The same ones at once: they wait for one answer, or have each their own.
            await asyncio.gather(*(world.ask(asked) for asked in first * 2))
            assert world.leaks([plan.private for plan in plans]) == []
            reload = world.fleet.reload(lambda: after)
            await asyncio.gather(*map(world.ask, amid), reload, *map(world.ask, amid))
            assert world.leaks([plan.private or plan.later for plan in plans]) == []
            await asyncio.gather(*map(world.ask, [*amid, *last, *last]))
            # Copies follow the calls: one more gives the last of them their time.
            await world.ask(last[0])
            assert world.leaks([plan.later for plan in plans]) == []
            assert {len(each) for each in world.seen.values()} <= {1}
            assert SECRET not in world.left_behind()
    assert SECRET not in repr(logs)
    assert SECRET not in others.getvalue()
