"""Plays recorded exchanges: a caller's request through the gateway to a provider, and back."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from prometheus_client import CollectorRegistry

from agentcore.kit.clock import Clock
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
from tests.fakes.llm_upstream import (
    PAUSE,
    Behaviour,
    Upstream,
    answers,
    event,
    fails,
    llm_upstream,
    streams,
)

FREE = PriceOverride(input=Decimal(0), output=Decimal(0))


async def play(
    recorded: dict[str, Any], kind: str, model: str, clock: Clock
) -> tuple[dict[str, Any], Upstream]:
    """What the caller of a provider that names its ``model`` so sees, and what that was asked."""
    pool = ConnectionPool(clock)
    request = recorded["request"]
    async with llm_upstream() as upstream:
        upstream.behaviour = _answering(recorded["upstream_answer"])
        provider = ProviderConfig.model_validate(
            {
                "name": "provider",
                "kind": kind,
                "base_url": upstream.url if kind == "parallax" else upstream.v1,
                "models": {request["model"]: model},
                "price": FREE,
            }
        )
        router = _router_to(provider, pool, clock)
        await router.accounts.prices.load()
        endpoint = OpenAIEndpoint(lambda: router, clock=clock, max_body_bytes=100_000)
        path = recorded.get("path", "/v1/chat/completions")
        call = await Call(endpoint, json.dumps(request).encode(), path=path).run()
        pool.close()
        return _seen(call), upstream


def _answering(answer: dict[str, Any]) -> Behaviour:
    if "events" in answer:
        first, *rest = (_event(item) for item in answer["events"])
        return streams(first, PAUSE, *rest)
    if answer.get("content_type"):
        return answers(json.dumps(answer["json"]).encode(), answer["content_type"])
    return fails(answer.get("status", 200), answer["json"])


def _event(item: Any) -> bytes:
    """``null`` is a pause: what came before it has arrived when the next event does."""
    if item is None:
        return PAUSE
    if isinstance(item, str) and item.startswith(":"):
        return item.encode()
    kind = item.get("type") if isinstance(item, dict) else None
    return event(item) if kind is None else f"event: {kind}\n".encode() + event(item)


def _seen(call: Call) -> dict[str, Any]:
    """The answer as parsed JSON; a stream event by event."""
    if not call.headers["content-type"].startswith("text/event-stream"):
        return {"status": call.status, "json": call.json}
    blocks = [block for block in call.body.decode().split("\n\n") if block]
    told = [_told(block) for block in blocks if not block.startswith(":")]
    return {"status": call.status, "events": told}


def _told(block: str) -> Any:
    """An event's data; its name, where it has one, is told again there."""
    head, _, tail = block.rpartition("data: ")
    if tail == "[DONE]":
        return tail
    data = json.loads(tail)
    assert head in ("", f"event: {data.get('type')}\n")
    return data


def _router_to(provider: ProviderConfig, pool: ConnectionPool, clock: Clock) -> HybridRouter:
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
