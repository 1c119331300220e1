"""Tests of administration/models.py, limits.py and api.py over the real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from agentcore.kit.db import Database
from agentcore.kit.ids import Ids
from agentcore.kit.security import Principal
from agentcore.llm_gateway.administration.api import router
from agentcore.llm_gateway.administration.limits import Limits
from agentcore.llm_gateway.administration.models import KeyTerms
from agentcore.llm_gateway.spending import open_limits
from agentcore.llm_gateway.terms import KeyHolder, Terms
from tests.fakes.asgi import As, client, told_as_problems
from tests.fakes.clock import ManualClock

ROOT = Principal(subject="root", tenant="acme", scopes=frozenset({"admin"}))


class Told:
    def __init__(self) -> None:
        self.times = 0

    async def __call__(self) -> None:
        self.times += 1


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def limits(database: Database, clock: ManualClock, ids: Ids, told: Told) -> Limits:
    return open_limits(database, clock, ids).telling(told)


@pytest.fixture
async def root(limits: Limits) -> AsyncIterator[httpx2.AsyncClient]:
    app = FastAPI()
    app.include_router(router(lambda: limits))
    told_as_problems(app)
    async with client(As(app, ROOT), "/internal") as opened:
        yield opened


async def test_a_key_is_made_with_all_it_may_do(root: httpx2.AsyncClient, limits: Limits) -> None:
    draft = {
        "subject": "bot",
        "models": ["qwen*"],
        "requests_per_minute": 5,
        "priority": "medium",
        "expires_at": "2030-01-01T00:00:00+01:00",
        "budget": {"limit_usd": "12.5", "period": "day"},
    }
    made = (await root.post("/keys", json=draft)).json()
    holder = await limits.keys.find(made["key"])
    assert isinstance(holder, KeyHolder)
    assert holder.terms == Terms(("qwen*",), 5, None, 1)
    assert (holder.tenant, holder.scopes) == ("acme", {"llm"})
    listed = (await root.get("/keys")).json()["keys"]
    assert listed == [{name: made[name] for name in listed[0]}]
    assert "key" not in listed[0]
    assert made["key"] not in str(listed)
    (budget,) = (await root.get("/budgets")).json()["budgets"]
    assert (budget["scope"], budget["target"]) == ("key", made["key_id"])
    assert (budget["limit_usd"], budget["period"]) == ("12.5", "day")


async def test_a_key_is_changed_and_revoked_by_its_tenant(root: httpx2.AsyncClient) -> None:
    made = (await root.post("/keys", json={"subject": "bot", "tenant": "other"})).json()
    path = f"/keys/{made['key_id']}"
    terms = {"models": ["m"], "tokens_per_minute": 9}
    assert (await root.put(path, json=terms)).status_code == 404
    assert (await root.delete(path)).status_code == 404
    changed = (await root.put(path, json=terms, params={"tenant": "other"})).json()
    assert (changed["models"], changed["tokens_per_minute"]) == (["m"], 9)
    assert (await root.delete(path, params={"tenant": "other"})).status_code == 204
    (listed,) = (await root.get("/keys", params={"tenant": "other"})).json()["keys"]
    assert listed["revoked_at"] is not None


async def test_budgets_are_set_listed_and_deleted(root: httpx2.AsyncClient, told: Told) -> None:
    terms = {"scope": "agent", "target": "planner", "period": "month", "limit_usd": "5"}
    made = (await root.put("/budgets", json=terms)).json()
    assert (made["spent_usd"], made["resets_at"]) == ("0", "2026-02-01T00:00:00Z")
    again = (await root.put("/budgets", json={**terms, "limit_usd": "6", "hard": False})).json()
    assert (again["id"], again["limit_usd"], again["hard"]) == (made["id"], "6", False)
    path = f"/budgets/{made['id']}"
    assert (await root.delete(path, params={"tenant": "other"})).status_code == 404
    assert (await root.delete(path)).status_code == 204
    assert (await root.get("/budgets")).json() == {"budgets": [], "next_cursor": None}
    # The gateway beside it knows at once, each time.
    assert told.times == 3


async def test_rates_are_set_and_told(root: httpx2.AsyncClient, told: Told) -> None:
    nothing = {"requests_per_minute": None, "tokens_per_minute": None}
    assert (await root.get("/rates")).json() == nothing
    some = {"requests_per_minute": 5, "tokens_per_minute": None}
    assert (await root.put("/rates", json=some)).json() == some
    assert (await root.get("/rates")).json() == some
    assert (await root.get("/rates", params={"tenant": "other"})).json() == nothing
    assert told.times == 1


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("/keys", {"subject": ""}),
    ("/keys", {"subject": "a", "scopes": ["everything"]}),
    ("/keys", {"subject": "a", "expires_at": "2020-01-01T00:00:00Z"}),
    ("/keys", {"subject": "a", "expires_at": "2030-01-01T00:00:00"}),
    ("/keys", {"subject": "a", "expires_at": "9999-12-31T23:59:59-14:00"}),
    ("/keys", {"subject": "a", "models": [""]}),
    ("/keys", {"subject": "a", "models": ["a\x00"]}),
    ("/keys", {"subject": "a", "requests_per_minute": 0}),
    ("/keys", {"subject": "a", "priority": "urgent"}),
    ("/keys", {"subject": "a", "budget": {"limit_usd": "-1"}}),
    ("/keys", {"subject": "a", "unknown": 1}),
    ("/keys", {"subject": "a", "tenant": "a\x00"}),
    ("/budgets", {"scope": "key", "period": "day", "limit_usd": 1}),
    ("/budgets", {"scope": "tenant", "period": "week", "limit_usd": 1}),
    ("/rates", {"tokens_per_minute": 2**31}),
]


@pytest.mark.parametrize(("path", "body"), WRONG, ids=str)
async def test_what_makes_no_sense_is_refused(
    root: httpx2.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    method = "POST" if path == "/keys" else "PUT"
    assert (await root.request(method, path, json=body)).status_code == 422


@pytest.mark.parametrize(
    "path", ["/keys?tenant=%00", "/keys?cursor=%00", "/budgets?tenant=a%00b", "/rates?tenant=%00"]
)
async def test_what_cannot_be_stored_is_not_looked_for(root: httpx2.AsyncClient, path: str) -> None:
    assert (await root.get(path)).status_code == 422
    assert (await root.delete("/keys/%00")).status_code == 422


async def test_a_budget_is_for_a_key_that_there_is(
    root: httpx2.AsyncClient, limits: Limits
) -> None:
    made = (await root.post("/keys", json={"subject": "bot"})).json()
    foreign = (await root.post("/keys", json={"subject": "bot", "tenant": "other"})).json()
    budget = {"scope": "key", "period": "day", "limit_usd": 1}

    async def status(key_id: str) -> int:
        return (await root.put("/budgets", json={**budget, "target": key_id})).status_code

    assert await status(made["key_id"]) == 200
    assert await status("k-nobody") == await status(foreign["key_id"]) == 404
    await limits.keys.revoke(made["key_id"], tenant="acme")
    assert await status(made["key_id"]) == 404
    assert len((await root.get("/budgets")).json()["budgets"]) == 1


def test_terms_are_what_the_data_path_knows() -> None:
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    terms = KeyTerms(models=("a*",), tokens_per_minute=3, priority="low", expires_at=moment)
    assert terms.terms == Terms(("a*",), None, 3, 2)
    assert KeyTerms().terms == Terms()
