"""What one owner must not learn of another's tasks, nor one tenant of another's agents."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import httpx2
import pytest
from fastapi import FastAPI

from agentcore.a2a_protocol.envelope import SPECIFIED
from agentcore.a2a_protocol.runtime import A2ARuntime
from agentcore.a2a_protocol.sdk.current import REQUESTS
from agentcore.a2a_protocol.sdk.previous import METHODS as OLD_METHODS
from agentcore.kit.db import Database
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from tests.fakes.a2a import a2a, app_of, at, scripted, served

AGENTS = "/internal/agents"
HOOK = "https://hooks.example/"
CARD: JsonObject = {"name": "Poet", "capabilities": ["rhyme"]}


class Person:
    def __init__(self, http: httpx2.AsyncClient, name: str) -> None:
        self.http = http
        self.headers = {"x-caller": name, "a2a-version": "1.0"}

    async def call(self, method: str, **params: JsonValue) -> JsonObject:
        headers = {**self.headers, "a2a-version": "" if "/" in method else "1.0"}
        document = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        response = await self.http.post("/a2a", json=document, headers=headers)
        data = [line for line in response.text.splitlines() if line.startswith("data: ")]
        answer: JsonObject = json.loads(data[0].removeprefix("data: ") if data else response.text)
        return answer

    async def get(self, path: str) -> httpx2.Response:
        return await self.http.get(path, headers=self.headers)


@asynccontextmanager
async def opened(database: Database) -> AsyncIterator[tuple[A2ARuntime, httpx2.AsyncClient]]:
    async with (
        a2a(database) as runtime,
        served(app_of(runtime)) as url,
        httpx2.AsyncClient(base_url=url, timeout=60) as http,
    ):
        yield runtime, http


def message(text: str, **members: JsonValue) -> JsonObject:
    return {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": text}], **members}


def old_message(**members: JsonValue) -> JsonObject:
    parts: JsonValue = [{"kind": "text", "text": "hello"}]
    return {"kind": "message", "messageId": "m", "role": "user", "parts": parts, **members}


def attempts(task_id: str) -> list[tuple[str, JsonObject]]:
    """Every way to name a task."""
    return [
        ("GetTask", {"id": task_id}),
        ("GetTask", {"id": task_id, "tenant": "scripted"}),
        ("CancelTask", {"id": task_id}),
        ("SubscribeToTask", {"id": task_id}),
        ("SendMessage", {"message": message("x", taskId=task_id)}),
        ("SendStreamingMessage", {"message": message("x", taskId=task_id)}),
        ("CreateTaskPushNotificationConfig", {"taskId": task_id, "url": HOOK}),
        ("GetTaskPushNotificationConfig", {"taskId": task_id, "id": task_id}),
        ("ListTaskPushNotificationConfigs", {"taskId": task_id}),
        ("DeleteTaskPushNotificationConfig", {"taskId": task_id, "id": task_id}),
        ("tasks/pushNotificationConfig/set", {
            "taskId": task_id, "pushNotificationConfig": {"url": HOOK},
        }),
        ("tasks/pushNotificationConfig/get", {"id": task_id}),
        ("tasks/pushNotificationConfig/list", {"id": task_id}),
        ("tasks/pushNotificationConfig/delete", {
            "id": task_id, "pushNotificationConfigId": task_id,
        }),
        ("message/stream", {"message": old_message(taskId=task_id)}),
        ("tasks/resubscribe", {"id": task_id}),
        ("tasks/get", {"id": task_id}),
        ("tasks/cancel", {"id": task_id}),
        ("message/send", {"message": old_message(taskId=task_id)}),
        ("task.query", {"task_id": task_id}),
        ("task.cancel", {"task_id": task_id}),
        ("agent.delegate", {"task_id": task_id, "target_agent": "scripted", "message": "x"}),
    ]  # fmt: skip


# Methods that name no task; what they show of others is tested one by one.
WITHOUT_TASK = {
    "ListTasks", "GetExtendedAgentCard", "agent/getAuthenticatedExtendedCard",
    "agent.register", "agent.discover",
}  # fmt: skip


async def test_no_method_is_left_out(database: Database) -> None:
    """A new method fails here until it is among the attempts below, or names no task."""
    async with a2a(database) as runtime:
        assert {*REQUESTS, *OLD_METHODS} == SPECIFIED
        known = {*SPECIFIED, *runtime.registry.names()}
        tasks = {method for method, _ in attempts("t")} | WITHOUT_TASK
        assert known == tasks | set(named_agent_methods(runtime.registry.names()))
        paths = set(app_of(runtime).openapi()["paths"])
    paths = {path for path in paths if not path.startswith(AGENTS)}
    assert paths == {
        "/a2a", "/a2a/agents/{agent_id}", "/a2a/agents/{agent_id}/.well-known/agent-card.json",
        "/.well-known/agent-card.json", "/.well-known/a2a-jwks.json",
        "/internal/tasks", "/internal/tasks/{task_id}", "/internal/interactions",
    }, "a route that shows what belongs to somebody needs an attempt below"  # fmt: skip


@pytest.mark.parametrize("stranger", ["acme/bob", "evil/alice"])
async def test_a_strangers_task_is_like_none(database: Database, stranger: str) -> None:
    async with opened(database) as (runtime, http):
        alice, eve = Person(http, "acme/alice"), Person(http, stranger)
        sent = await alice.call(
            "SendMessage", message=message("wait"), configuration={"returnImmediately": True}
        )
        task = at(sent, "result", "task")
        task_id, nothing = str(at(task, "id")), "01a1fe28-0000-7000-8000-000000000000"
        for (method, theirs), (_, none) in zip(attempts(task_id), attempts(nothing), strict=True):
            refused, absent = await eve.call(method, **theirs), await eve.call(method, **none)
            assert at(refused, "error", "code") == -32001, (method, refused)
            assert str(refused).replace(task_id, nothing) == str(absent)
        by_agent = await http.post(
            "/a2a/agents/scripted",
            json={"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {"id": task_id}},
            headers=eve.headers,
        )
        assert at(by_agent.json(), "error", "code") == -32001
        repeated = await eve.call("SendMessage", message=message("wait"),
                                  configuration={"returnImmediately": True})  # fmt: skip
        assert at(repeated, "result", "task", "id") != task_id, "the same message, another sender"
        assert at(await eve.call("task.cancel", task_id=at(repeated, "result", "task", "id")),
                  "result", "id") != task_id  # fmt: skip
        assert (
            at(await eve.call("ListTasks", contextId=at(task, "contextId")), "result", "tasks")
            == []
        )
        assert at(await eve.call("task.query"), "result", "total") == 1
        assert (await eve.get(f"/internal/tasks/{task_id}")).status_code == 404
        assert (await eve.get("/internal/tasks")).json()["total"] == 1
        await alice.call("agent.delegate", target_agent="scripted", message="hi", wait_seconds=0)
        for person, rows in ((eve, 0), (alice, 1)):
            log = (await person.get("/internal/interactions")).json()["interactions"]
            assert len(log) == rows
        found = await alice.call("GetTask", id=task_id)
        running = {"TASK_STATE_SUBMITTED", "TASK_STATE_WORKING"}
        assert at(found, "result", "status", "state") in running
        assert task_id not in scripted(runtime).cancelled


def named_agent_methods(names: Iterable[str]) -> list[str]:
    """All methods about one agent: what is new among them is tried below without being told."""
    others = {*WITHOUT_TASK, "agent.delegate"}
    return [name for name in names if name.startswith("agent.") and name not in others]


def agent_calls(app: FastAPI) -> list[tuple[str, str]]:
    """All routes about agents, by method and path; read from the table of the routes."""
    return [
        (method, path)
        for path, methods in app.openapi()["paths"].items()
        if path.startswith(AGENTS)
        for method in methods
    ]


async def test_a_strangers_agent_is_like_none(database: Database) -> None:
    """Nothing that names it says more than of an agent that does not exist, and nothing moves."""
    async with opened(database) as (runtime, http):
        alice, bob, eve = (Person(http, name) for name in ("acme/alice", "acme/bob", "evil/alice"))
        await alice.call("agent.register", agent_card=CARD, agent_id="poet")
        before = await alice.call("agent.get", agent_id="poet")
        for method in named_agent_methods(runtime.registry.names()):
            refused = await eve.call(method, agent_id="poet")
            absent = await eve.call(method, agent_id="nobody")
            assert at(refused, "error", "data", "code") == "agent_not_found", method
            assert str(refused).replace("poet", "nobody") == str(absent)
            if method != "agent.get":
                mate = await bob.call(method, agent_id="poet")
                assert at(mate, "error", "data", "code") == "not_the_owner", method
        asked, absent = [
            await eve.call("agent.delegate", target_agent=name, message="x")
            for name in ("poet", "nobody")
        ]
        assert str(asked).replace("poet", "nobody") == str(absent)
        for method, path in agent_calls(app_of(runtime)):
            if "{agent_id}" not in path:
                continue
            theirs = await http.request(method, path.format(agent_id="poet"), headers=eve.headers)
            none = await http.request(method, path.format(agent_id="nobody"), headers=eve.headers)
            assert theirs.status_code == none.status_code == 404, (method, path)
            assert theirs.text.replace("poet", "nobody") == none.text
        assert await alice.call("agent.get", agent_id="poet") == before


async def test_every_list_of_agents_is_the_tenants(database: Database) -> None:
    async with opened(database) as (runtime, http):
        alice, eve = Person(http, "acme/alice"), Person(http, "evil/alice")
        await alice.call("agent.register", agent_card=CARD, agent_id="poet")
        lists = [call for call in agent_calls(app_of(runtime)) if "{agent_id}" not in call[1]]
        for method, path in lists:
            body: JsonObject | None = {} if method == "post" else None
            for person, knows in ((alice, True), (eve, False)):
                found = await http.request(method, path, headers=person.headers, json=body)
                # Registering is the one that lists nothing: it wants a card.
                assert found.status_code in {200, 422}, (method, path)
                assert (found.status_code == 200 and "poet" in found.text) == (
                    knows and found.status_code == 200
                ), (method, path)


async def test_agents_are_seen_by_their_tenant(database: Database) -> None:
    async with opened(database) as (_, http):
        alice, bob, eve = (Person(http, name) for name in ("acme/alice", "acme/bob", "evil/alice"))
        await alice.call("agent.register", agent_card=CARD, agent_id="poet")
        for insider in (alice, bob):
            assert (
                at(await insider.call("agent.discover"), "result", "agents", 0, "agent_id")
                == "poet"
            )
            assert (await insider.get("/internal/agents/poet")).status_code == 200
        assert at(await eve.call("agent.discover", text="poet"), "result", "agents") == []
        assert (await eve.get("/internal/agents")).json()["agents"] == []
        assert (await eve.get("/internal/agents/poet")).status_code == 404
        for thief in (bob, eve):
            taken = await thief.call("agent.register", agent_card=CARD, agent_id="poet")
            assert at(taken, "error", "data", "code") == "agent_id_taken"


async def test_the_tenant_of_a_request_is_no_authority(database: Database) -> None:
    async with opened(database) as (_, http):
        alice, eve = Person(http, "acme/alice"), Person(http, "evil/alice")
        await alice.call("SendMessage", message=message("hello"), tenant="second")
        assert at(await eve.call("ListTasks", tenant="acme"), "result", "tasks") == []
        assert at(await alice.call("ListTasks", tenant="evil"), "result", "totalSize") == 1
