from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx2
import pytest

from agentcore.a2a_protocol import examples
from agentcore.a2a_protocol.api import check_media_type
from agentcore.a2a_protocol.errors import ContentTypeNotSupported
from agentcore.a2a_protocol.models.agent_card import AgentCard
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.a2a_protocol.runtime import A2ARuntime
from agentcore.kit.db import Database
from agentcore.kit.jsonvalue import JsonObject
from tests.fakes.a2a import a2a, app_of, at, principal
from tests.fakes.asgi import client

CARD = "/.well-known/agent-card.json"


@pytest.fixture
async def runtime(database: Database) -> AsyncIterator[A2ARuntime]:
    config = A2AConfig.model_validate({"max_body_bytes": 2048, "card_max_age": 7})
    async with a2a(database, config=config) as opened:
        yield opened


@pytest.fixture
async def http(runtime: A2ARuntime) -> AsyncIterator[httpx2.AsyncClient]:
    async with client(app_of(runtime)) as opened:
        yield opened


async def test_the_card_can_be_kept(http: httpx2.AsyncClient) -> None:
    first = await http.get(CARD)
    assert first.headers["cache-control"] == "public, max-age=7"
    assert first.headers["last-modified"].endswith(" GMT")
    assert at(first.json(), "supportedInterfaces", 0, "url") == "http://test/a2a"
    for known in (first.headers["etag"], f'"x", W/{first.headers["etag"]}', "*"):
        again = await http.get(CARD, headers={"if-none-match": known})
        assert (again.status_code, again.content) == (304, b"")
    other = await http.get("/.well-known/agent.json", headers={"if-none-match": '"x"'})
    assert (other.status_code, other.content) == (200, first.content)
    assert (await http.head(CARD)).headers["etag"] == first.headers["etag"]


async def test_the_card_names_the_public_address(runtime: A2ARuntime) -> None:
    async with client(app_of(runtime, public_url="https://agents.example/core/")) as http:
        card = (await http.get(CARD)).json()
    assert at(card, "url") == "https://agents.example/core/a2a"


async def test_a_body_is_refused_before_it_is_read_whole(http: httpx2.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b" " * 1024

    headers = {"content-type": "application/json"}
    for content in (chunks(), b" " * 4096):
        refused = await http.post("/a2a", content=content, headers=headers)
        assert refused.status_code == 413
        assert at(refused.json(), "error", "code") == -32600


@pytest.mark.parametrize(
    "header", ["application/json", "APPLICATION/JSON;charset=utf-8", "application/a2a+json"]
)
def test_media_types_of_json(header: str) -> None:
    check_media_type(header)


@pytest.mark.parametrize("header", ["", "text/plain", "application/jsonp", "multipart/form-data"])
def test_other_media_types(header: str) -> None:
    with pytest.raises(ContentTypeNotSupported):
        check_media_type(header)


async def test_a_notification_gets_no_body(http: httpx2.AsyncClient) -> None:
    silent: JsonObject = {"jsonrpc": "2.0", "method": "agent.discover"}
    answer = await http.post("/a2a", json=silent)
    assert (answer.status_code, answer.content) == (204, b"")


async def test_a_stream_is_a_stream(http: httpx2.AsyncClient) -> None:
    document = {**examples.SEND_1_0, "method": "SendStreamingMessage"}
    answer = await http.post("/a2a/", json=document, headers={"a2a-version": "1.0"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [line for line in answer.text.splitlines() if line.startswith("data: ")]
    last = json.loads(events[-1].removeprefix("data: "))
    assert at(last, "result", "statusUpdate", "status", "state") == "TASK_STATE_COMPLETED"


async def test_active_extensions_are_named(http: httpx2.AsyncClient) -> None:
    rpc, handing_on = "urn:agentcore:ext/agentcore-rpc/v1", "urn:agentcore:ext/delegation/v1"
    asked = [("a2a-version", "1.0"), ("a2a-extensions", f"urn:x,  {handing_on},")]
    asked.append(("a2a-extensions", rpc))
    for method in ("SendMessage", "SendStreamingMessage"):
        answer = await http.post(
            "/a2a", json={**examples.SEND_1_0, "method": method}, headers=asked
        )
        assert answer.headers["a2a-extensions"] == f"{rpc}, {handing_on}"
        assert "x-a2a-extensions" not in answer.headers
    # A2A 0.3 has another name for the header; what nobody here knows is not active.
    old = await http.post("/a2a", json=examples.SEND_0_3, headers={"x-a2a-extensions": handing_on})
    assert old.headers["x-a2a-extensions"] == handing_on
    other = await http.post("/a2a", json=examples.SEND_0_3, headers={"x-a2a-extensions": "urn:x"})
    assert "x-a2a-extensions" not in other.headers


async def test_internal_lists(http: httpx2.AsyncClient, runtime: A2ARuntime) -> None:
    for name in ("a", "b"):
        card = AgentCard.model_validate({"name": name, "capabilities": ["x"]})
        await runtime.agents.register(card, principal(), agent_id=name)
        sent = json.loads(json.dumps(examples.SEND_1_0).replace("hello", f"hello {name}"))
        await http.post("/a2a", json=sent, headers={"a2a-version": "1.0"})
    page = (await http.get("/internal/agents", params={"limit": 1})).json()
    assert at(page, "agents", 0, "agent_id") == "b"
    rest = await http.get("/internal/agents", params={"cursor": page["next_cursor"]})
    assert [agent["agent_id"] for agent in rest.json()["agents"]] == ["a"]
    assert at((await http.get("/internal/agents/a")).json(), "card", "name") == "a"
    done: dict[str, str | int] = {"state": "TASK_STATE_COMPLETED", "limit": 1}
    tasks = (await http.get("/internal/tasks", params=done)).json()
    assert tasks["total"] == 2
    task_id = at(tasks, "tasks", 0, "id")
    assert at((await http.get(f"/internal/tasks/{task_id}")).json(), "id") == task_id
    older = {"cursor": tasks["next_cursor"], "context_id": ""}
    assert len((await http.get("/internal/tasks", params=older)).json()["tasks"]) == 1


async def test_the_routes_are_documented(http: httpx2.AsyncClient) -> None:
    document = (await http.get("/openapi.json")).json()
    assert {"/a2a", CARD, "/internal/agents", "/internal/tasks/{task_id}"} <= document[
        "paths"
    ].keys()
    content = at(document, "paths", "/a2a", "post", "requestBody", "content")
    shown = at(content, "application/json", "examples")
    assert isinstance(shown, dict)
    assert shown.keys() == examples.REQUESTS.keys()


async def test_agents_over_http(http: httpx2.AsyncClient) -> None:
    card = {"name": "Poet", "skills": [{"id": "ode", "tags": ["verse"]}]}
    asked = {"agent_card": card, "agent_id": "poet", "heartbeat_seconds": 60, "active": False}
    made = (await http.post("/internal/agents", json=asked)).json()
    assert (made["status"], made["health"]) == ("registered", "healthy")
    for move, status in (("resume", "active"), ("drain", "draining"), ("resume", "active")):
        moved = await http.post(f"/internal/agents/poet/{move}", json={"reason": "r"})
        assert moved.json()["status"] == status
    found = (await http.post("/internal/agents/discover", json={"tags": ["verse"]})).json()
    assert (at(found, "agents", 0, "agent_id"), at(found, "agents", 0, "score")) == ("poet", 10)
    assert (await http.post("/internal/agents/poet/heartbeat")).status_code == 200
    assert (await http.post("/internal/agents/poet/suspend")).json()["status"] == "suspended"
    refused = await http.post("/internal/agents/poet/drain")
    assert (refused.status_code, refused.json()["code"]) == (409, "illegal_agent_move")
    listed = (await http.get("/internal/agents", params={"status": "suspended"})).json()
    assert [agent["agent_id"] for agent in listed["agents"]] == ["poet"]
    shown = (await http.get("/internal/agents/poet")).json()
    assert [event["what"] for event in shown["events"]][:2] == ["suspended", "active"]
