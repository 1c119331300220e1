from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.responses import JSONResponse

from agentcore.kit.db import Database
from agentcore.training.openenv.administration.api import router
from tests.fakes.asgi import client, told_as_problems
from tests.fakes.clock import ManualClock
from tests.fakes.environment_registry import World, spec, world
from tests.fakes.environment_sessions import caller
from tests.fakes.hub import FakeHub, space

CATALOG = Path(__file__).parents[2] / "wire" / "openenv" / "catalog_upstream_0_10_0.json"
ROOT = "/internal/environments"
FAR = {"name": "far", "url": "http://far.example:8000/"}


class Desk:
    """The routes with a caller's scopes, and the worker of operations."""

    def __init__(self, here: World) -> None:
        self.here = here
        self.scopes = ["env:act", "env:control"]
        app = FastAPI()
        app.include_router(router(lambda: here.registry, operations=lambda: here.operations))
        told_as_problems(app)

        async def enter(scope: Any, receive: Any, send: Any) -> None:
            scope.setdefault("state", {})["principal"] = caller("ada", "acme", *self.scopes)
            await app(scope, receive, send)

        self.http = client(enter)

    async def ask(self, method: str, path: str, body: object = None, *, expect: int = 200) -> Any:
        answer = await self.http.request(method, f"{ROOT}{path}", json=body)
        assert answer.status_code == expect, answer.text
        return answer.json() if answer.content else None

    async def ended(self, path: str, body: object = None, method: str = "POST") -> Any:
        """Submit an operation and poll it at the address that the answer names."""
        answer = await self.http.request(method, f"{ROOT}{path}", json=body)
        assert answer.status_code == 202, answer.text
        assert answer.json()["state"] == "pending"
        async with asyncio.TaskGroup() as group:
            worker = group.create_task(self.here.operations.run())
            async with asyncio.timeout(60):
                while True:
                    polled = (await self.http.get(answer.headers["location"])).json()
                    if polled["finished_at"]:
                        break
                    await asyncio.sleep(0.01)
            worker.cancel()
        return polled


@pytest.fixture
async def hub() -> AsyncIterator[FakeHub]:
    hub = FakeHub([space("ann/echo", "rl"), space("bob/echo"), space("bob/maze", "rl")])
    async with hub.running():
        yield hub


@pytest.fixture
async def desk(database: Database, clock: ManualClock) -> AsyncIterator[Desk]:
    desk = Desk(world(database, clock))
    async with desk.http:
        yield desk


@pytest.fixture
async def finding(database: Database, clock: ManualClock, hub: FakeHub) -> AsyncIterator[Desk]:
    desk = Desk(world(database, clock, hub=hub.url))
    async with desk.http:
        yield desk


async def test_an_environment_is_registered_asked_and_forgotten(desk: Desk) -> None:
    desk.here.probe.found[FAR["url"]] = {"status": "healthy"}
    entry = await desk.ask("POST", "", {**FAR, "version": "2"}, expect=201)
    assert (entry["name"], entry["source"], entry["revision"]) == ("far", "manual", "2")
    assert (entry["state"], entry["status"], entry["mode"]) == (
        "registered",
        "healthy",
        "simulation",
    )
    assert "token_ref" not in entry
    del desk.here.probe.found[FAR["url"]]
    assert (await desk.ask("GET", "/far/health"))["status"] == "healthy"
    checked = await desk.ask("POST", f"/{entry['id']}/health")
    assert (checked["status"], checked["failures"]) == ("failed", 1)
    assert (await desk.ask("GET", "/far@2/health"))["entry"]["detail"]
    await desk.ask("DELETE", "/far", expect=204)
    problem = await desk.ask("DELETE", "/far", expect=404)
    assert problem["code"] == "environment_not_found"


async def test_a_server_without_episodes_is_a_problem(desk: Desk) -> None:
    problem = await desk.ask("POST", "", FAR, expect=422)
    assert problem["code"] == "environment_invalid"
    assert "nobody answers" in problem["detail"]
    await desk.ask("POST", "", {**FAR, "validate": False}, expect=201)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"url": FAR["url"]}, 422),
        ({"name": "no-place"}, 422),
        ({"name": "Upper", "url": FAR["url"]}, 422),
        ({"name": "far", "url": "ftp://x/"}, 422),
        ({**FAR, "token": "plain-secret"}, 422),
        ({**FAR, "source": "bundled"}, 422),
        ({"name": "task_routing", "url": FAR["url"]}, 409),
        ({"name": "deployed", "url": FAR["url"]}, 409),
        ({"name": "task-routing", "url": FAR["url"]}, 409),
        ({"name": "far", "url": "http://ann:secret@far.example/", "validate": False}, 422),
        ({"name": "far", "image": "--privileged"}, 422),
        ({"name": "far", "discovered": "\x00"}, 422),
        ({**FAR, "version": "\x00", "validate": False}, 422),
        ({"discovered": "nothing"}, 404),
        ([], 422),
    ],
)
async def test_bad_registrations_are_refused(desk: Desk, body: object, status: int) -> None:
    await desk.ask("POST", "", body, expect=status)
    assert await desk.here.registry.entries() == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/%00", None),
        ("GET", "/a%00/health", None),
        ("GET", "/%00/metrics", None),
        ("DELETE", "/%00/deploy", None),
        ("GET", "/discovered?cursor=%00%20019ab0c2-7d51-7c3e-9d2a-000000000001", None),
        ("POST", "/discover", {"author": "\x00"}),
        ("POST", "/task_routing/deploy", {"resources": {"cpu": "\x00"}}),
        ("POST", "/task_routing/deploy", {"resources": {"memory": "a lot"}}),
    ],
)
async def test_what_no_database_holds_is_refused(
    desk: Desk, method: str, path: str, body: object
) -> None:
    await desk.ask(method, path, body, expect=422)


async def test_a_token_needs_the_administrator(desk: Desk) -> None:
    """Who may only orchestrate could otherwise have secrets sent to a server of theirs."""
    body = {**FAR, "token": "env:FAR_TOKEN", "validate": False}
    problem = await desk.ask("POST", "", body, expect=403)
    assert problem["code"] == "forbidden"
    desk.scopes = ["admin"]
    await desk.ask("POST", "", body, expect=201)


async def test_discovery_is_polled_and_what_it_found_registered(finding: Desk) -> None:
    desk = finding
    done = await desk.ended("/discover", {"tags": ["rl"]})
    assert done["state"] == "succeeded"
    assert [each.partition("@")[0] for each in done["result"]["found"]] == [
        "hub:ann/echo",
        "hub:bob/maze",
    ]
    await desk.ended("/discover", {})
    first = await desk.ask("GET", "/discovered?limit=2")
    assert {each["name"] for each in first["environments"]} == {"echo"}
    rest = await desk.ask("GET", f"/discovered?cursor={first['next_cursor']}")
    assert [each["name"] for each in rest["environments"]] == ["maze"]
    assert rest["next_cursor"] is None
    ambiguous = await desk.ask("POST", "", {"discovered": "echo"}, expect=409)
    assert len(ambiguous["candidates"]) == 2
    body = {"discovered": "ann/echo", "name": "ann-echo", "validate": False}
    entry = await desk.ask("POST", "", body, expect=201)
    assert (entry["name"], entry["source"], entry["source_id"]) == ("ann-echo", "hub", "ann/echo")
    assert entry["url"] == "https://ann-echo.hf.space/"
    assert len((await desk.ask("GET", "/discovered"))["environments"]) == 2
    await desk.ask("GET", "/discovered?cursor=x", expect=422)


async def test_what_was_discovered_is_listed_without_credentials(desk: Desk) -> None:
    found = spec("maze", url="https://ann:hunter2@far.example/?key=hunter2", source="hub")
    found = found.model_copy(update={"source_id": "ann/maze"})
    await desk.here.store.discover([found], at=datetime.now(UTC))
    listed = (await desk.ask("GET", "/discovered"))["environments"]
    assert [entry["url"] for entry in listed] == ["https://far.example/"]
    refused = await desk.ask("POST", "", {"discovered": "maze", "validate": False}, expect=422)
    assert "hunter2" not in str([listed, refused])


async def test_a_hub_that_refuses_is_the_operations_problem(finding: Desk, hub: FakeHub) -> None:
    hub.failing = [JSONResponse({}, 429, {"retry-after": "60"})]
    done = await finding.ended("/discover", {})
    assert (done["state"], done["error"]["code"]) == ("failed", "hub_rate_limited")
    assert done["error"]["retry_after"] == 60
    assert "token" in done["error"]["hint"]


async def test_a_catalog_is_imported(desk: Desk) -> None:
    answer = await desk.http.post(f"{ROOT}/import", content=CATALOG.read_bytes())
    done = answer.json()
    assert [each["name"] for each in done["imported"]] == ["echo_env", "maze-world"]
    assert [each["path"] for each in done["refused"]] == ["envs/nameless"]
    problem = await desk.ask("POST", "/import", {"entries": []}, expect=422)
    assert problem["code"] == "catalog_invalid"


async def test_a_deployment_is_polled_listed_measured_and_removed(desk: Desk) -> None:
    body = {"replicas": 2, "resources": {"cpu": "1"}, "runtime": "local"}
    done = await desk.ended("/task-routing/deploy", body)
    assert done["state"] == "succeeded"
    assert done["requested_by"] == "ada"
    assert done["result"]["ready"] == 2
    (deployed,) = (await desk.ask("GET", "/deployed"))["deployed"]
    assert (deployed["name"], deployed["runtime"]) == ("task_routing", "local")
    metrics = await desk.ask("GET", "/task_routing/metrics")
    assert metrics["cpu_usage"] == 0.25
    assert (metrics["request_count"], metrics["avg_episode_duration"]) == (0, None)
    gone = await desk.ended("/task_routing/deploy?forget=true", method="DELETE")
    assert gone["state"] == "succeeded"
    assert gone["arguments"] == {"name": "task_routing", "forget": True}
    assert (await desk.ask("GET", "/deployed"))["deployed"] == []
    problem = await desk.ask("GET", "/task_routing/metrics", expect=404)
    assert problem["code"] == "deployment_not_found"


@pytest.mark.parametrize(
    ("name", "body", "status", "code"),
    [
        ("chess", {}, 404, "environment_not_found"),
        ("task_routing", {"runtime": "docker"}, 422, "runtime_missing"),
        ("task_routing", {"replicas": 0}, 422, None),
        ("task_routing", {"resources": {"cores": 1}}, 422, None),
    ],
)
async def test_impossible_deployments_are_refused_at_once(
    desk: Desk, name: str, body: object, status: int, code: str | None
) -> None:
    problem = await desk.ask("POST", f"/{name}/deploy", body, expect=status)
    assert code is None or problem["code"] == code


async def test_a_deployment_under_way_is_a_conflict(desk: Desk) -> None:
    first = await desk.ask("POST", "/task_routing/deploy", {}, expect=202)
    problem = await desk.ask("DELETE", "/task_routing/deploy", expect=409)
    assert problem["operation_id"] == first["id"]


async def test_an_unknown_operation_is_not_found(desk: Desk) -> None:
    await desk.ask("GET", "/operations/019ab0c2-7d51-7c3e-9d2a-1f0e6a7b8c9d", expect=404)
    await desk.ask("GET", "/operations/1", expect=422)


async def test_the_routes_are_documented(desk: Desk) -> None:
    paths = (await desk.http.get("/openapi.json")).json()["paths"]
    for path, operations in paths.items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            good = next(status for status in operation["responses"] if status.startswith("2"))
            content = operation["responses"][good].get("content", {})
            assert good == "204" or content["application/json"]["example"], (method, path)
