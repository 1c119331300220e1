"""Recorded exchanges: what the caller sends, what the provider gets and answers, what comes back.

Bodies are compared as parsed JSON, streams event by event.
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from agentcore.kit.clock import SystemClock
from agentcore.kit.ids import Ids
from agentcore.llm_gateway.accounts import Accounts
from agentcore.llm_gateway.gateway import build_provider
from agentcore.llm_gateway.ingress import OpenAIEndpoint
from agentcore.llm_gateway.metrics import GatewayMetrics
from agentcore.llm_gateway.models import CallRecord, PriceOverride, ProviderConfig
from agentcore.llm_gateway.prices import PriceBook
from agentcore.llm_gateway.providers.hybrid_router import HybridRouter
from agentcore.llm_gateway.transport import ConnectionPool
from tests.fakes.asgi_call import Call
from tests.fakes.llm_upstream import PAUSE, Behaviour, answers, event, fails, llm_upstream, streams

EXCHANGES = sorted(Path(__file__).parent.glob("*.json"))
FREE = PriceOverride(input=Decimal(0), output=Decimal(0))


def answering(answer: dict[str, Any]) -> Behaviour:
    if "events" in answer:
        first, *rest = (_event(item) for item in answer["events"])
        return streams(first, PAUSE, *rest)
    if answer.get("content_type"):
        return answers(json.dumps(answer["json"]).encode(), answer["content_type"])
    return fails(answer.get("status", 200), answer["json"])


def _event(item: Any) -> bytes:
    if isinstance(item, str) and item.startswith(":"):
        return item.encode()
    return event(item)


def seen(call: Call) -> dict[str, Any]:
    if not call.headers["content-type"].startswith("text/event-stream"):
        return {"status": call.status, "json": call.json}
    blocks = [block for block in call.body.decode().split("\n\n") if block]
    data = [block.removeprefix("data: ") for block in blocks if block.startswith("data: ")]
    return {
        "status": call.status,
        "events": [item if item == "[DONE]" else json.loads(item) for item in data],
    }


def router_to(provider: ProviderConfig, pool: ConnectionPool) -> HybridRouter:
    clock = SystemClock()
    prices = PriceBook([provider], reference_model="gpt-5-mini", clock=clock)
    lines: list[CallRecord] = []
    accounts = Accounts(
        prices=prices,
        metrics=GatewayMetrics(CollectorRegistry()),
        record=lines.append,
        clock=clock,
    )
    built = build_provider(provider, pool, clock)
    own = provider.on_own_hardware
    return HybridRouter(
        [built] if own else [],
        {} if own else {provider.name: built},
        accounts=accounts,
        clock=clock,
        ids=Ids(),
    )


@pytest.mark.parametrize("path", EXCHANGES, ids=lambda path: path.stem)
async def test_exchange(path: Path) -> None:
    recorded = json.loads(path.read_text())
    kind = recorded["provider"]
    pool = ConnectionPool(SystemClock())
    async with llm_upstream() as upstream:
        upstream.behaviour = answering(recorded["upstream_answer"])
        provider = ProviderConfig(
            name="provider",
            kind=kind,
            base_url=upstream.url if kind == "parallax" else upstream.v1,
            models={recorded["request"]["model"]: recorded["upstream_request"]["model"]},
            price=FREE,
        )
        router = router_to(provider, pool)
        await router.accounts.prices.load()
        endpoint = OpenAIEndpoint(lambda: router, clock=SystemClock(), max_body_bytes=100_000)
        call = await Call(endpoint, json.dumps(recorded["request"]).encode()).run()
        assert upstream.bodies == [recorded["upstream_request"]]
        pool.close()
        assert seen(call) == {"status": 200, **recorded["answer"]}
