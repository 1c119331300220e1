from __future__ import annotations

import httpx2
import pytest
from prometheus_client import CollectorRegistry
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from agentcore.kit.drain import Drain
from agentcore.kit.errors import StartupError
from agentcore.kit.security import OpenDoor, Principal
from agentcore.training.openenv.environments.examples.guess_number import GuessNumber
from agentcore.training.openenv.metrics import OpenEnvMetrics
from agentcore.training.openenv.models import EnvironmentServerConfig
from agentcore.training.openenv.server import EnvironmentServer
from agentcore.training.openenv.serving.standalone import (
    GivenTokens,
    MetricsBeside,
    given_tokens,
    standalone_app,
)
from tests.fakes.openenv_servers import serving

CONFIG = EnvironmentServerConfig.model_validate({"token": "boss", "agent_token": "player"})


def test_without_tokens_there_is_no_door_of_its_own() -> None:
    assert given_tokens(EnvironmentServerConfig()) is None


def test_agents_have_a_token_of_their_own() -> None:
    same = EnvironmentServerConfig.model_validate({"token": "same", "agent_token": "same"})
    with pytest.raises(StartupError, match="are the same"):
        given_tokens(same)


@pytest.mark.parametrize(
    ("token", "control"), [("boss", True), ("player", False)], ids=["orchestrator", "agent"]
)
async def test_each_token_has_its_scopes(token: str, control: bool) -> None:
    door = given_tokens(CONFIG)
    assert door is not None
    principal = await door.authenticate({b"authorization": f"Bearer {token}".encode()})
    assert (principal.may("env:act"), principal.may("env:control")) == (True, control)


async def test_probes_need_no_token_and_everything_else_does() -> None:
    door = given_tokens(CONFIG)
    assert door is not None
    app = standalone_app(EnvironmentServer("guess_number", GuessNumber), door, Drain())
    async with serving(app) as url, httpx2.AsyncClient(base_url=url) as http:
        assert (await http.get("/health")).json() == {"status": "healthy"}
        assert (await http.get("/ready")).status_code == 200
        for path in ("/metadata", "/schema", "/info", "/nothing"):
            refused = await http.get(path)
            assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
            assert refused.headers["www-authenticate"] == "Bearer"
            wrong = await http.get(path, headers={"authorization": "Bearer boss2"})
            assert wrong.status_code == 401
        right = await http.get("/metadata", headers={"authorization": "Bearer player"})
        assert right.json()["name"] == "guess_number"
        with pytest.raises(InvalidStatus) as caught:
            await connect(url.replace("http", "ws") + "/ws", proxy=None)
        assert caught.value.response.status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "https://console.example"}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"host": "evil.example"}, 403),
    ],
)
async def test_without_credentials_no_foreign_page_comes_in(
    headers: dict[str, str], status: int
) -> None:
    pages = ("https://console.example",)
    config = EnvironmentServerConfig(allowed_origins=pages)
    env = EnvironmentServer("guess_number", GuessNumber, config=config)
    app = standalone_app(env, OpenDoor(), Drain(), allowed_origins=pages)
    async with serving(app) as url, httpx2.AsyncClient(base_url=url, headers=headers) as http:
        assert (await http.post("/reset", json={})).status_code == status
        assert (await http.get("/health")).status_code == 200


async def test_metrics_are_for_those_who_may_read_them() -> None:
    registry, app = CollectorRegistry(), EnvironmentServer("guess_number", GuessNumber)
    app.watched_by(OpenEnvMetrics(registry, ["guess_number"]).watch("guess_number", "server"))
    reader = Principal(subject="reader", tenant="a", scopes=frozenset({"metrics"}))
    door = given_tokens(CONFIG)
    assert door is not None
    doors = GivenTokens([*door.accepted, ("reader", reader)])
    alone = standalone_app(MetricsBeside(app, registry), doors, Drain())
    async with serving(alone) as url, httpx2.AsyncClient(base_url=url) as http:

        async def status(method: str, token: str) -> int:
            return (await http.request(method, "/metrics", headers=bearer(token))).status_code

        assert (await http.get("/metrics")).status_code == 401
        assert [await status("GET", each) for each in ("player", "boss", "reader")] == [
            403,
            200,
            200,
        ]
        assert await status("POST", "boss") == 405
        assert (await http.get("/metadata", headers=bearer("reader"))).status_code == 403
        async with connect(
            url.replace("http", "ws") + "/ws", proxy=None, additional_headers=bearer("boss")
        ):
            text = (await http.get("/metrics", headers=bearer("reader"))).text
    labels = '{environment="guess_number",side="server"}'
    assert f"openenv_sessions{labels} 1.0" in text


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_a_server_that_stops_refuses_what_is_new() -> None:
    drain = Drain()
    app = standalone_app(EnvironmentServer("guess_number", GuessNumber), OpenDoor(), drain)
    async with serving(app) as url, httpx2.AsyncClient(base_url=url) as http:
        assert (await http.post("/reset", json={})).status_code == 200
        await drain.drain(1)
        refused = await http.post("/reset", json={})
        assert (refused.status_code, refused.json()["code"]) == (503, "draining")
        assert int(refused.headers["retry-after"]) > 0
