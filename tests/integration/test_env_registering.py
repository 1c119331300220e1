"""The registry of a running service: commands, an episode by name, work that outlives it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from agentcore.cli.main import run
from tests.fakes.deployment import Deployment, used_home
from tests.fakes.hub import FakeHub, space
from tests.fakes.waiting import eventually

CATALOG = Path(__file__).parents[1] / "wire" / "openenv" / "catalog_upstream_0_10_0.json"


class SlowHub(FakeHub):
    """Answers when it is let."""

    def __init__(self) -> None:
        super().__init__([space("ann/echo", "rl"), space("bob/echo", sha=None)])
        self.open = asyncio.Event()
        self.open.set()

    async def answer_slowly(self, request: Request) -> Response:
        response = self.respond(request)
        await self.open.wait()
        return response


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with used_home() as home:
        monkeypatch.setenv("AGENTCORE_HOME", str(home))
        monkeypatch.setenv("COLUMNS", "200")
        yield home


async def test_environments_are_found_registered_and_played(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub = SlowHub()
    async with hub.running(hub.answer_slowly) as hub_url:
        settings = {
            "AGENTCORE_TRAINING__REGISTRY__HUB__ENDPOINT": hub_url,
            "AGENTCORE_SERVER__LOG_LEVEL": "warning",
        }
        service = Deployment(home, settings)

        async def env(*arguments: str) -> str:
            code = await to_thread.run_sync(run, ["env", *arguments, "--url", service.url])
            told = capsys.readouterr()
            assert code == 0, told.err
            return told.out + told.err

        await to_thread.run_sync(service.start)
        try:
            found = await env("discover", "--tag", "openenv")
            assert "hub:ann/echo" in found
            assert "left out: bob/echo: it has no revision" in found
            assert "maze-world" in await env("import", str(CATALOG))
            await _register_and_play(service, home, env)
            await _survives_a_stop(service, hub)
        finally:
            hub.open.set()
            await to_thread.run_sync(service.stop)


async def _register_and_play(service: Deployment, home: Path, env: Any) -> None:
    """A server that wants a token, which the service reads where it is told."""
    secret = home / "far-token"
    secret.write_text(service.token("env:act", "env:control"))
    address = f"{service.url}/envs/guess_number"
    await env("register", "far", address, "--server-token", f"file:{secret}")
    listed = await env("list")
    assert "healthy" in listed
    assert "0 of 256" in listed

    def play() -> None:
        with service.client() as http:
            opened = _call(http, "environment.open", environment="far", seed=7)
            session = {"session_id": opened["session_id"]}
            guess = {"type": "guess", "parameters": {"number": 42}}
            step = _call(http, "environment.step", **session, action=guess)
            assert step["terminated"] is True
            _call(http, "environment.close", **session)
            refused = http.post("/internal/environments", json={"name": "own", "url": address})
            assert (refused.status_code, refused.json()["code"]) == (422, "environment_invalid")
            assert "401" in refused.json()["detail"]
            assert http.delete("/internal/environments/far").status_code == 204
            assert http.delete("/internal/environments/far").status_code == 404
        with service.client("env:control") as http:
            body = {"name": "own", "url": address, "token": f"file:{secret}"}
            assert http.post("/internal/environments", json=body).status_code == 403

    await to_thread.run_sync(play)


async def _survives_a_stop(service: Deployment, hub: SlowHub) -> None:
    hub.open.clear()
    asked = len(hub.asked)

    def submit() -> str:
        with service.client() as http:
            answer = http.post("/internal/environments/discover", json={"author": "ann"})
            assert answer.status_code == 202
            return answer.headers["location"]

    operation = await to_thread.run_sync(submit)
    await eventually(lambda: len(hub.asked) > asked)
    async with asyncio.TaskGroup() as group:
        stopping = group.create_task(to_thread.run_sync(service.stop))
        # Its request is cut off when the service ends, and not before.
        await asyncio.sleep(0)
        hub.open.set()
    assert stopping.result() == 0
    await to_thread.run_sync(service.start)

    def poll() -> Any:
        with service.client() as http:
            return http.get(operation).json()

    async with asyncio.timeout(100):
        while (polled := await to_thread.run_sync(poll))["finished_at"] is None:
            await asyncio.sleep(0.05)
    assert polled["state"] == "succeeded"


def _call(http: Any, method: str, **params: Any) -> Any:
    answer = http.post(
        "/a2a", json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    ).json()
    assert "result" in answer, answer
    return answer["result"]
