from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest
from fastapi import FastAPI

from agentcore.training.openenv.api import router
from agentcore.training.openenv.environments.catalog import BUNDLED
from agentcore.training.openenv.errors import EnvironmentNotFoundError
from tests.fakes.clock import ManualClock
from tests.fakes.environment_sessions import sessions_at


@pytest.fixture
async def http(clock: ManualClock) -> AsyncIterator[httpx2.AsyncClient]:
    remote = {"name": "far", "url": "http://127.0.0.1:9/"}
    async with sessions_at("http://x", clock, environments=[remote]) as sessions:
        app = FastAPI()
        app.include_router(router(lambda: sessions))
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client


async def test_environments_are_listed_by_name(http: httpx2.AsyncClient) -> None:
    page = (await http.get("/internal/environments")).json()
    names = [entry["name"] for entry in page["environments"]]
    assert names == sorted([*BUNDLED, "far"])
    assert page["next_cursor"] is None


async def test_pages_follow_each_other(http: httpx2.AsyncClient) -> None:
    names: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        params: dict[str, str | int] = {"limit": 2, "cursor": cursor}
        page = (await http.get("/internal/environments", params=params)).json()
        names += [entry["name"] for entry in page["environments"]]
        cursor = page["next_cursor"]
    assert names == sorted([*BUNDLED, "far"])
    past = await http.get("/internal/environments", params={"cursor": "zzz"})
    assert past.json() == {"environments": [], "next_cursor": None}


async def test_one_environment_is_described(http: httpx2.AsyncClient) -> None:
    entry = (await http.get("/internal/environments/guess_number")).json()
    assert entry["source"] == "bundled"
    assert entry["info"]["max_episode_steps"] == 10
    assert entry["info"]["action_space"]["title"] == "GuessNumberAction"


async def test_an_unknown_environment_is_a_typed_error(http: httpx2.AsyncClient) -> None:
    with pytest.raises(EnvironmentNotFoundError):
        await http.get("/internal/environments/chess")


async def test_the_routes_are_documented(http: httpx2.AsyncClient) -> None:
    paths = (await http.get("/openapi.json")).json()["paths"]
    listing = paths["/internal/environments"]["get"]
    assert listing["responses"]["200"]["content"]["application/json"]["example"]["environments"]
    assert "404" in paths["/internal/environments/{name}"]["get"]["responses"]
