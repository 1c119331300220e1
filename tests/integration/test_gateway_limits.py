"""Keys with terms, budgets and rates, as the official SDKs of OpenAI and Anthropic meet them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx2
import openai
import pytest
from fastapi import FastAPI
from openai.types.chat import ChatCompletionUserMessageParam
from prometheus_client import CollectorRegistry
from sqlalchemy import update

from agentcore.app import RULES, refuse
from agentcore.kit.access import Access
from agentcore.kit.clock import SystemClock
from agentcore.kit.db import Database
from agentcore.kit.security import CredentialAuthenticator, TokenAuthority
from agentcore.kit.supervisor import Supervisor
from agentcore.llm_gateway.administration.api import router
from agentcore.llm_gateway.budgets import purse
from agentcore.llm_gateway.gateway import Gateway, open_gateway
from agentcore.llm_gateway.ingress import OpenAIDoor, OpenAIEndpoint
from agentcore.llm_gateway.keys import ApiKeys
from agentcore.llm_gateway.metrics import GatewayMetrics
from agentcore.llm_gateway.models import GatewayConfig
from agentcore.llm_gateway.store import api_keys
from tests.fakes.late import Late
from tests.fakes.llm_upstream import Upstream, llm_upstream
from tests.fakes.openenv_servers import serving

if TYPE_CHECKING:
    import anthropic
else:
    anthropic = Late("anthropic")

CLOCK = SystemClock()
SECRET = "s" * 48
HELLO: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "Hello"}]


class Premises:
    """A gateway behind real credentials; ``root`` administers it."""

    def __init__(self, gateway: Gateway, url: str, root: httpx2.AsyncClient) -> None:
        self.gateway = gateway
        self.url = url
        self.root = root

    async def key(self, **draft: object) -> str:
        made = await self.root.post("/internal/keys", json={"subject": "bot", **draft})
        assert made.status_code == 201, made.text
        return str(made.json()["key"])

    def openai(self, key: str) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0)

    def anthropic(self, key: str) -> anthropic.AsyncAnthropic:
        return anthropic.AsyncAnthropic(base_url=self.url, api_key=key, max_retries=0)

    async def chat(self, key: str, model: str = "paid", tokens: int = 100) -> httpx2.Headers:
        async with self.openai(key) as sdk:
            raw = await sdk.chat.completions.with_raw_response.create(
                model=model, messages=HELLO, max_tokens=tokens
            )
            return httpx2.Headers(dict(raw.headers))

    async def message(self, key: str, model: str = "paid") -> None:
        async with self.anthropic(key) as sdk:
            await sdk.messages.create(
                model=model, max_tokens=100, messages=[{"role": "user", "content": "Hello"}]
            )


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that a busy machine keeps waiting is not away."""
    monkeypatch.setattr(purse, "LONGEST_WAIT", 60)
    monkeypatch.setattr(ApiKeys.__init__, "__kwdefaults__", {"patience": 60})


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with llm_upstream() as running:
        yield running


@pytest.fixture
async def service(upstream: Upstream, ground: dict[str, Any]) -> AsyncIterator[Premises]:
    async with opened(upstream, ground) as running:
        yield running


@asynccontextmanager
async def opened(upstream: Upstream, ground: dict[str, Any]) -> AsyncIterator[Premises]:
    provider = {"kind": "compatible", "base_url": upstream.v1}
    config = GatewayConfig.model_validate(
        {
            "ledger_flush": 60,
            "providers": [
                {
                    **provider,
                    "name": "api",
                    "models": {"paid": "paid"},
                    # A tenth of a cent a token: an answer of the upstream costs 0.015 USD.
                    "price": {"input": 1000, "output": 1000},
                },
                {**provider, "name": "own", "models": {"free": "free"}, "self_hosted": True},
                {**provider, "name": "odd", "models": {"odd": "odd"}},
            ],
        }
    )
    async with open_gateway(config, **ground) as gateway:
        app = FastAPI()
        app.include_router(router(lambda: gateway.limits))
        endpoint = OpenAIEndpoint(lambda: gateway.front, clock=CLOCK, max_body_bytes=100_000)
        app.add_middleware(OpenAIDoor, endpoint=endpoint)
        tokens = TokenAuthority(SECRET, CLOCK)
        credentials = CredentialAuthenticator(tokens, gateway.limits.keys)
        app.add_middleware(Access, authenticator=lambda: credentials, rules=RULES, refuse=refuse)
        token = tokens.issue(
            subject="root", tenant="acme", scopes=["admin"], lifetime=timedelta(hours=1)
        )
        headers = {"authorization": f"Bearer {token}"}
        async with (
            serving(app) as url,
            httpx2.AsyncClient(base_url=url, headers=headers) as root,
        ):
            yield Premises(gateway, url, root)


async def test_an_expired_key_is_told_so(service: Premises, database: Database) -> None:
    key = await service.key(expires_at="2999-01-01T00:00:00Z")
    past = update(api_keys).values(expires_at=datetime(2026, 1, 1, tzinfo=UTC))
    await database.write(past)
    said = "the API key has expired at 2026-01-01T00:00:00Z"
    with pytest.raises(openai.AuthenticationError, match=said):
        await service.chat(key)
    with pytest.raises(anthropic.AuthenticationError, match=said):
        await service.message(key)


async def test_a_key_is_for_its_models(service: Premises, upstream: Upstream) -> None:
    key = await service.key(models=["fre?"])
    assert (await service.chat(key, "free"))["x-agentcore-provider"] == "own"
    asked = len(upstream.bodies)
    with pytest.raises(openai.PermissionDeniedError, match="may not use the model 'paid'") as told:
        await service.chat(key)
    assert told.value.code == "model_not_allowed"
    with pytest.raises(anthropic.PermissionDeniedError, match=re.escape("it may use: fre?")):
        await service.message(key)
    assert len(upstream.bodies) == asked
    async with service.openai(key) as sdk:
        assert [model.id async for model in sdk.models.list()] == ["free"]
        with pytest.raises(openai.NotFoundError):
            await sdk.models.retrieve("paid")


async def test_a_used_up_budget_stops_what_costs_and_nothing_else(service: Premises) -> None:
    key = await service.key(budget={"limit_usd": "0.25", "period": "month"})
    await service.chat(key)
    with pytest.raises(openai.APIStatusError) as told:
        await service.chat(key, tokens=200)
    assert told.value.status_code == 402
    assert told.value.type == "insufficient_quota"
    assert told.value.code == "budget_exceeded"
    assert "0.015 of 0.25 USD spent" in told.value.message
    assert "it begins anew at" in told.value.message
    await counted(service, key, openai.APIStatusError)
    with pytest.raises(anthropic.APIStatusError) as said:
        await service.message(key)
    assert said.value.status_code == 402
    assert said.value.type == "billing_error"
    assert (await service.chat(key, "free"))["x-agentcore-cost-usd"] == "0"
    with pytest.raises(openai.APIStatusError) as unknown:
        await service.chat(key, "odd")
    assert (unknown.value.status_code, unknown.value.code) == (402, "price_unknown")
    listed = (await service.root.get("/internal/budgets")).json()["budgets"]
    assert [each["scope"] for each in listed] == ["key"]


async def test_who_asks_too_often_is_told_when_to_return(service: Premises) -> None:
    key = await service.key(requests_per_minute=2, tokens_per_minute=5000)
    told = await service.chat(key)
    assert told["x-ratelimit-limit-requests"] == "2"
    assert told["x-ratelimit-remaining-requests"] == "1"
    assert told["x-ratelimit-limit-tokens"] == "5000"
    await service.message(key, "free")
    with pytest.raises(openai.RateLimitError) as refused:
        await service.chat(key)
    assert refused.value.code == "rate_limit_exceeded"
    headers = refused.value.response.headers
    assert 1 <= int(headers["retry-after"]) <= 61
    assert headers["x-ratelimit-remaining-requests"] == "0"
    with pytest.raises(anthropic.RateLimitError):
        await service.message(key)
    with pytest.raises(openai.APIStatusError) as large:
        await service.chat(await service.key(tokens_per_minute=50))
    assert large.value.status_code == 413


async def test_replicas_share_rates_and_budgets(
    service: Premises, upstream: Upstream, ground: dict[str, Any]
) -> None:
    metrics = GatewayMetrics(CollectorRegistry())
    async with (
        Supervisor() as elsewhere,
        opened(upstream, {**ground, "supervisor": elsewhere, "metrics": metrics}) as other,
    ):
        rated = await service.key(requests_per_minute=4)
        answered = [await counted(each, rated, openai.RateLimitError) for each in (service, other)]
        assert sum(answered) == 4
        paid = await service.key(budget={"limit_usd": "0.50"})
        for each in (service, other):
            # As it does by itself every second.
            await each.gateway.limits.changed()
        spent = [await counted(each, paid, openai.APIStatusError) for each in (service, other)]
        assert 0 < sum(spent) * Decimal("0.015") <= Decimal("0.5")


async def counted(service: Premises, key: str, refusal: type[Exception]) -> int:
    """How often a key may ask one service before it is refused."""
    for n in range(100):
        try:
            await service.chat(key)
        except refusal:
            return n
    return 100


async def test_a_key_cannot_raise_its_priority(service: Premises) -> None:
    key = await service.key(priority="low")
    headers = {"x-agentcore-priority": "high"}
    async with service.openai(key) as sdk:
        raw = await sdk.chat.completions.with_raw_response.create(
            model="free", messages=HELLO, extra_headers=headers
        )
    # Only a call of low priority is told this.
    assert raw.headers["x-agentcore-reason"] == "default"


@pytest.mark.parametrize("path", ["keys", "budgets", "rates"])
async def test_only_administrators_administer(service: Premises, path: str) -> None:
    key = await service.key(scopes=["llm", "metrics"])
    async with httpx2.AsyncClient(base_url=service.url) as http:
        assert (await http.get(f"/internal/{path}", headers={"x-api-key": key})).status_code == 403
        assert (await http.get(f"/internal/{path}")).status_code == 401
