from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from urllib.parse import quote
from uuid import UUID

import httpx2
import pytest

from agentcore.ace.models import ACEConfig, ContextPlaybook
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from tests.architecture.source import ROOT
from tests.fakes.asgi import As, client
from tests.fakes.context import ALICE, MALLORY, ContextWorld, context_app

BASE = "/internal/context"
NEW: JsonObject = {
    "agent_id": "agent-123",
    "initial_context": {
        "goals": ["solve customer issues"],
        "constraints": ["response time <5s"],
        "capabilities": ["search", "reasoning"],
    },
}
DELTA: JsonObject = {
    "delta_id": "delta-789",
    "changes": {"goals": ["solve customer issues", "proactive engagement"]},
    "confidence": 0.85,
}
TRACE: JsonObject = {
    "agent_id": "agent-123",
    "task_id": "task-999",
    "execution_time": 2.5,
    "success": True,
    "output_quality": 0.9,
    "metadata": {"note": "x"},
}


@pytest.fixture
async def alice(world: ContextWorld) -> AsyncIterator[httpx2.AsyncClient]:
    async with client(As(context_app(world), ALICE)) as http:
        yield http


@pytest.fixture
async def mallory(world: ContextWorld) -> AsyncIterator[httpx2.AsyncClient]:
    async with client(As(context_app(world), MALLORY)) as http:
        yield http


async def test_the_examples_of_the_specification_work_as_written(
    alice: httpx2.AsyncClient,
) -> None:
    created = await alice.post(f"{BASE}/playbooks", json=NEW)
    assert created.status_code == 201
    body = created.json()
    assert body.keys() == {"playbook_id", "agent_id", "version", "content", "created_at"}
    assert (body["agent_id"], body["version"]) == ("agent-123", 1)
    assert body["content"] == NEW["initial_context"]
    assert datetime.fromisoformat(body["created_at"]).tzinfo is not None

    read = (await alice.get(f"{BASE}/playbooks/agent-123")).json()
    assert read.keys() == {"playbook_id", "agent_id", "version", "content", "last_updated"}

    patched = await alice.patch(f"{BASE}/playbooks/agent-123", json=DELTA)
    assert patched.status_code == 200
    assert patched.json() == {
        "playbook_id": body["playbook_id"],
        "version": 2,
        "applied": True,
        "rollback_available": True,
    }
    again = await alice.patch(f"{BASE}/playbooks/agent-123", json=DELTA)
    assert again.json() == patched.json()

    traced = await alice.post(f"{BASE}/traces", json=TRACE)
    assert traced.status_code == 201
    assert traced.json().keys() == {"trace_id", "captured_at"}
    UUID(traced.json()["trace_id"])

    wanted = {"agent_id": "agent-123", "force": False}
    triggered = await alice.post(f"{BASE}/evolution/trigger", json=wanted)
    assert triggered.status_code == 202
    assert triggered.json() == {"enqueued": True, "position": 1}

    status = await alice.get(f"{BASE}/evolution/status/agent-123")
    assert status.json() == {
        "agent_id": "agent-123",
        "last_evolution": None,
        "pending_traces": 1,
        "deltas_generated": 0,
        "deltas_applied": 0,
        "status": "idle",
    }


async def test_an_environment_is_bound_by_who_may_play_there(
    alice: httpx2.AsyncClient, playbook: ContextPlaybook
) -> None:
    path = f"{BASE}/playbooks/agent-123/environment"
    none = {"agent_id": "agent-123", "environment": None}
    assert (await alice.get(path)).json() == none
    assert (await alice.put(path, json={"environment": "maze"})).status_code == 403
    assert (await alice.put(path, json={"environment": ""})).status_code == 422
    assert (await alice.delete(path)).status_code == 204
    assert (await alice.get(path)).json() == none


async def test_unsure_deltas_are_not_applied(
    alice: httpx2.AsyncClient, playbook: ContextPlaybook
) -> None:
    unsure = await alice.patch(f"{BASE}/playbooks/agent-123", json=DELTA | {"confidence": 0.4})
    assert unsure.status_code == 200
    assert unsure.json() == {
        "playbook_id": playbook.playbook_id,
        "version": 1,
        "applied": False,
        "rollback_available": False,
    }


async def test_history_deltas_render_and_rollback(
    alice: httpx2.AsyncClient, playbook: ContextPlaybook
) -> None:
    for number in range(3):
        operation: JsonObject = {"op": "ADD", "section": "checks", "text": f"Lesson {number}."}
        body = {"delta_id": f"d{number}", "changes": {"ops": [operation]}, "confidence": 0.9}
        await alice.patch(f"{BASE}/playbooks/agent-123", json=body)
    page = (await alice.get(f"{BASE}/playbooks/agent-123/history?limit=2")).json()
    assert [item["result_version"] for item in page["items"]] == [4, 3]
    rest = (
        await alice.get(f"{BASE}/playbooks/agent-123/history?limit=2&cursor={page['next_cursor']}")
    ).json()
    assert [item["kind"] for item in rest["items"]] == ["delta", "seed"]
    assert rest["next_cursor"] is None

    rendered = await alice.get(
        f"{BASE}/playbooks/agent-123/render", params={"task": "lesson", "budget": 200}
    )
    assert rendered.json()["text"].startswith("## PLAYBOOK\n### goals\n- solve customer issues")
    assert rendered.json()["stamp"]["bullets"] == ["b1", "b2", "b3"]

    back = await alice.post(f"{BASE}/playbooks/agent-123/rollback", json={"version": 2})
    assert back.json()["version"] == 5
    read = (await alice.get(f"{BASE}/playbooks/agent-123")).json()
    assert len(read["content"]["playbook"]["sections"]["checks"]) == 1

    first = (await alice.get(f"{BASE}/playbooks/agent-123/deltas?limit=4")).json()
    second = await alice.get(
        f"{BASE}/playbooks/agent-123/deltas?limit=4&cursor={first['next_cursor']}"
    )
    items = [*first["items"], *second.json()["items"]]
    assert len({item["delta_id"] for item in items}) == 5
    assert second.json()["next_cursor"] is None
    assert {item["reason"] for item in items} == {"accepted"}


async def test_versions_are_read_and_compared(
    alice: httpx2.AsyncClient, playbook: ContextPlaybook
) -> None:
    operations: list[JsonValue] = [
        {"op": "ADD", "section": "checks", "text": "Check twice."},
        {"op": "SET", "path": ["limit"], "value": 5},
    ]
    body = {"delta_id": "d", "changes": {"ops": operations}, "confidence": 0.9}
    await alice.patch(f"{BASE}/playbooks/agent-123", json=body)
    first = await alice.get(f"{BASE}/playbooks/agent-123/versions/1")
    assert first.json() == {
        "playbook_id": playbook.playbook_id,
        "agent_id": "agent-123",
        "version": 1,
        "content": {"goals": ["solve customer issues"]},
    }
    told = (await alice.get(f"{BASE}/playbooks/agent-123/diff?from=1")).json()
    assert (told["from_version"], told["to_version"]) == (1, 2)
    assert told["owner"] == [{"key": "limit", "change": "added", "before": None, "after": 5}]
    assert [(one["id"], one["change"], one["before"]) for one in told["bullets"]] == [
        ("b1", "added", None)
    ]
    assert told["bullets"][0]["after"]["section"] == "checks"
    assert told["bullets"][0]["after"]["bullet"]["text"] == "Check twice."
    back = (await alice.get(f"{BASE}/playbooks/agent-123/diff?from=2&to=1")).json()
    assert [one["change"] for one in back["bullets"]] == ["removed"]
    for query in ("versions/3", "diff?from=3", "diff?from=1&to=3"):
        missing = await alice.get(f"{BASE}/playbooks/agent-123/{query}")
        assert (missing.status_code, missing.json()["code"]) == (404, "playbook_version_not_found")


async def test_an_etag_guards_against_lost_updates(
    alice: httpx2.AsyncClient, playbook: ContextPlaybook
) -> None:
    seen = (await alice.get(f"{BASE}/playbooks/agent-123")).headers["etag"]
    assert seen == '"1"'

    def sent(number: int) -> JsonObject:
        return {"delta_id": f"d{number}", "changes": {"name": f"n{number}"}, "confidence": 1.0}

    async def patched(number: int, condition: str, **more: JsonValue) -> httpx2.Response:
        headers = {"If-Match": condition}
        body = {**sent(number), **more}
        return await alice.patch(f"{BASE}/playbooks/agent-123", json=body, headers=headers)

    assert (await patched(1, seen)).json()["version"] == 2
    late = await patched(2, seen)
    assert (late.status_code, late.json()["code"]) == (409, "playbook_version_conflict")
    assert (late.json()["expected_version"], late.json()["found_version"]) == (1, 2)
    assert (await patched(3, "*")).json()["version"] == 3
    assert (await patched(4, 'W/"3"', expected_version=3)).json()["version"] == 4
    for wrong in ("1", '"x"', '"0"', '"99999999999"', '"1", "2"'):
        assert (await patched(5, wrong)).status_code == 422
    assert (await patched(5, '"4"', expected_version=3)).status_code == 422


async def test_an_agent_s_own_token_reads_its_own_playbook_alone(
    world: ContextWorld, playbook: ContextPlaybook
) -> None:
    await world.contexts.create_playbook("agent-9", {}, principal=ALICE)
    for subject, seen in (("agent:agent-123", 200), ("agent:agent-9", 404), ("agent:", 404)):
        agent = replace(ALICE, subject=subject)
        async with client(As(context_app(world), agent)) as http:
            for path in ("", "/render", "/history", "/deltas", "/versions/1", "/diff?from=1"):
                answer = await http.get(f"{BASE}/playbooks/agent-123{path}")
                assert answer.status_code == seen, (subject, path)
            assert (await http.post(f"{BASE}/traces", json=TRACE)).status_code in {201, seen}
            made = await http.post(f"{BASE}/playbooks", json={"agent_id": "agent-new"})
            assert (made.status_code, made.json()["code"]) == (404, "unknown_agent")
    assert await world.agents.owner("agent-new") is None


@pytest.mark.parametrize("agent_id", ["ü n", "a?b#c", "%2F", "...", "x" * 255, "a\\b", "a&b=c+d"])
async def test_every_agent_that_gets_a_playbook_is_found_again(
    alice: httpx2.AsyncClient, agent_id: str
) -> None:
    made = await alice.post(f"{BASE}/playbooks", json=NEW | {"agent_id": agent_id})
    assert made.status_code == 201
    read = await alice.get(f"{BASE}/playbooks/{quote(agent_id, safe='')}")
    assert (read.status_code, read.json()["agent_id"]) == (200, agent_id)


async def test_deleting_removes_the_playbook(
    alice: httpx2.AsyncClient, playbook: ContextPlaybook
) -> None:
    gone = await alice.delete(f"{BASE}/playbooks/agent-123")
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await alice.get(f"{BASE}/playbooks/agent-123")).status_code == 404


REQUESTS: list[tuple[str, str, JsonObject | None]] = [
    ("POST", "/playbooks", NEW),
    ("GET", "/playbooks/agent-123", None),
    ("PATCH", "/playbooks/agent-123", DELTA),
    ("DELETE", "/playbooks/agent-123", None),
    ("GET", "/playbooks/agent-123/render", None),
    ("GET", "/playbooks/agent-123/history", None),
    ("GET", "/playbooks/agent-123/deltas", None),
    ("GET", "/playbooks/agent-123/versions/1", None),
    ("GET", "/playbooks/agent-123/diff?from=1", None),
    ("POST", "/playbooks/agent-123/rollback", {"version": 1}),
    ("POST", "/traces", TRACE),
    ("POST", "/evolution/trigger", {"agent_id": "agent-123"}),
    ("GET", "/evolution/status/agent-123", None),
]


async def test_another_tenant_s_agent_does_not_exist(
    mallory: httpx2.AsyncClient, playbook: ContextPlaybook
) -> None:
    for method, path, body in REQUESTS:
        answer = await mallory.request(method, f"{BASE}{path}", json=body)
        assert answer.status_code == 404, (method, path)
        assert answer.json()["code"] in {"playbook_not_found", "unknown_agent"}


async def test_ace_routes_require_token(world: ContextWorld) -> None:
    async with client(context_app(world)) as nobody:
        for method, path, body in REQUESTS:
            answer = await nobody.request(method, f"{BASE}{path}", json=body)
            assert answer.status_code == 401, (method, path)


NOT_THERE = [
    ("GET", "/playbooks/nobody", None, "playbook_not_found"),
    ("PATCH", "/playbooks/nobody", DELTA, "playbook_not_found"),
    ("POST", "/traces", TRACE | {"agent_id": "nobody"}, "unknown_agent"),
    ("POST", "/evolution/trigger", {"agent_id": "nobody"}, "playbook_not_found"),
    ("GET", "/evolution/status/nobody", None, "unknown_agent"),
    ("POST", "/playbooks/agent-123/rollback", {"version": 1}, "playbook_version_not_found"),
]
CONFLICTS: list[tuple[str, str, JsonObject, int, str]] = [
    ("POST", "/traces", TRACE | {"metadata": {"x": "y" * (1 << 17)}}, 413, "trace_too_large"),
    ("POST", "/traces", TRACE | {"error_message": "\u20ac" * 50_000}, 413, "trace_too_large"),
    ("POST", "/playbooks", NEW, 409, "playbook_exists"),
    (
        "PATCH",
        "/playbooks/agent-123",
        DELTA | {"expected_version": 9},
        409,
        "playbook_version_conflict",
    ),
    (
        "PATCH",
        "/playbooks/agent-123",
        DELTA | {"changes": {"ops": [{"op": "FROB"}]}},
        422,
        "invalid_operation",
    ),
    ("PATCH", "/playbooks/agent-123", DELTA | {"changes": {"goals": None}}, 422, "invalid_content"),
    (
        "PATCH",
        "/playbooks/agent-123",
        DELTA | {"changes": {"playbook": {}}},
        422,
        "invalid_content",
    ),
    (
        "POST",
        "/playbooks",
        {"agent_id": "new", "initial_context": {"playbook": 1}},
        422,
        "invalid_content",
    ),
    (
        "POST",
        "/playbooks",
        {"agent_id": "new", "initial_context": {"x": "y" * (1 << 20)}},
        413,
        "playbook_too_large",
    ),
]


async def test_what_cannot_be_done_is_a_typed_error(
    alice: httpx2.AsyncClient, playbook: ContextPlaybook
) -> None:
    for method, path, absent, code in NOT_THERE:
        answer = await alice.request(method, f"{BASE}{path}", json=absent)
        assert (answer.status_code, answer.json()["code"]) == (404, code), (method, path)
    for method, path, given, status, code in CONFLICTS:
        answer = await alice.request(method, f"{BASE}{path}", json=given)
        assert (answer.status_code, answer.json()["code"]) == (status, code), given


async def test_a_full_queue_is_429_with_the_time_to_wait(
    alice: httpx2.AsyncClient, world: ContextWorld, playbook: ContextPlaybook
) -> None:
    config = ACEConfig(ace_worker_queue_size=1)
    full = ContextWorld(world.database, world.cache, world.supervisor, world.clock, config)
    full.queue.put("somebody")
    async with client(As(context_app(full), ALICE)) as http:
        answer = await http.post(f"{BASE}/evolution/trigger", json={"agent_id": "agent-123"})
    assert (answer.status_code, answer.json()["code"]) == (429, "evolution_queue_full")
    assert answer.json()["retry_after"] == 1.0


def without(body: JsonObject, name: str) -> JsonObject:
    return {key: value for key, value in body.items() if key != name}


MALFORMED: list[tuple[str, str, JsonValue]] = [
    ("POST", "/playbooks", without(NEW, "agent_id")),
    ("POST", "/playbooks", NEW | {"agent_id": ""}),
    ("POST", "/playbooks", NEW | {"agent_id": "x" * 256}),
    ("POST", "/playbooks", NEW | {"agent_id": "a\x00b"}),
    ("POST", "/playbooks", NEW | {"agent_id": "a/b"}),
    ("POST", "/playbooks", NEW | {"agent_id": ".."}),
    ("POST", "/playbooks", NEW | {"initial_context": ["goals"]}),
    ("POST", "/playbooks", NEW | {"initial_context": {"a": "\x00"}}),
    ("POST", "/playbooks", NEW | {"initial_context": {"a": 2**70}}),
    ("POST", "/playbooks", NEW | {"colour": "red"}),
    ("POST", "/playbooks", []),
    ("PATCH", "/playbooks/agent-123", without(DELTA, "delta_id")),
    ("PATCH", "/playbooks/agent-123", without(DELTA, "changes")),
    ("PATCH", "/playbooks/agent-123", without(DELTA, "confidence")),
    ("PATCH", "/playbooks/agent-123", DELTA | {"confidence": 1.5}),
    ("PATCH", "/playbooks/agent-123", DELTA | {"confidence": "sure"}),
    ("PATCH", "/playbooks/agent-123", DELTA | {"changes": {"a": "\x00"}}),
    ("PATCH", "/playbooks/agent-123", DELTA | {"reasoning": "\x00"}),
    ("PATCH", "/playbooks/agent-123", DELTA | {"expected_version": 0}),
    ("PATCH", "/playbooks/agent-123", DELTA | {"expected_version": True}),
    ("PATCH", "/playbooks/agent-123", DELTA | {"confidence": True}),
    ("PATCH", "/playbooks/agent-123", DELTA | {"confidence": "0.9"}),
    ("PATCH", "/playbooks/agent-123", DELTA | {"expected_version": 2**70}),
    ("PATCH", "/playbooks/a%00b", DELTA),
    ("GET", "/playbooks/a%00b", None),
    ("GET", "/playbooks/agent-123/render?budget=1", None),
    ("GET", "/playbooks/agent-123/history?limit=0", None),
    ("GET", "/playbooks/agent-123/history?cursor=x", None),
    ("GET", f"/playbooks/agent-123/history?cursor={2**40}", None),
    ("GET", f"/playbooks/agent-123/history?cursor={2**70}", None),
    ("GET", "/playbooks/agent-123/deltas?cursor=x", None),
    ("GET", "/playbooks/agent-123/versions/0", None),
    ("GET", "/playbooks/agent-123/versions/x", None),
    ("GET", "/playbooks/agent-123/diff", None),
    ("GET", "/playbooks/agent-123/diff?from=0", None),
    ("GET", f"/playbooks/agent-123/diff?from=1&to={2**70}", None),
    ("POST", "/playbooks/agent-123/rollback", {"version": 0}),
    ("POST", "/playbooks/agent-123/rollback", {"version": 2**70}),
    ("POST", "/playbooks/agent-123/rollback", {"version": True}),
    ("POST", "/traces", without(TRACE, "success")),
    ("POST", "/traces", TRACE | {"success": "no"}),
    ("POST", "/traces", TRACE | {"success": 1}),
    ("POST", "/traces", TRACE | {"execution_time": "2.5"}),
    ("POST", "/traces", TRACE | {"execution_time": -1}),
    ("POST", "/traces", TRACE | {"output_quality": 1.1}),
    ("POST", "/traces", TRACE | {"task_id": "x" * 256}),
    ("POST", "/traces", TRACE | {"task_id": "\x00"}),
    ("POST", "/traces", TRACE | {"error_message": "\x00"}),
    ("POST", "/traces", TRACE | {"metadata": {"\x00": 1}}),
    ("POST", "/traces", TRACE | {"metadata": "x"}),
    ("POST", "/evolution/trigger", {"force": True}),
    ("POST", "/evolution/trigger", {"agent_id": "agent-123", "force": "perhaps"}),
    ("POST", "/evolution/trigger", {"agent_id": "agent-123", "force": "yes"}),
]


async def test_malformed_requests_are_refused_by_name(
    alice: httpx2.AsyncClient, playbook: ContextPlaybook
) -> None:
    for method, path, body in MALFORMED:
        answer = await alice.request(method, f"{BASE}{path}", json=body)
        assert answer.status_code == 422, (method, path, body)
        assert answer.json()["detail"], (method, path)


@pytest.mark.parametrize(
    "raw", [b"{", b'{"agent_id": "a", "initial_context": {"x": NaN}}', b"\xff"]
)
async def test_what_is_no_json_is_refused(alice: httpx2.AsyncClient, raw: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = await alice.post(f"{BASE}/playbooks", content=raw, headers=headers)
    assert answer.status_code in {400, 422}


async def test_every_route_is_documented_with_examples(alice: httpx2.AsyncClient) -> None:
    document = (await alice.get("/openapi.json")).json()
    paths = {path for path in document["paths"] if path.startswith(BASE)}
    assert len(paths) == 15
    schemas = document["components"]["schemas"]
    assert schemas["DeltaRequest"]["properties"]["delta_id"]["examples"] == ["delta-789"]


async def test_experiments_are_started_shown_with_intervals_and_stopped(
    alice: httpx2.AsyncClient, mallory: httpx2.AsyncClient
) -> None:
    await alice.post(f"{BASE}/playbooks", json=NEW)
    await alice.patch(f"{BASE}/playbooks/agent-123", json=DELTA | {"confidence": 0.2})
    path = f"{BASE}/playbooks/agent-123/experiments"
    begun = await alice.post(path, json={"delta_id": "delta-789"})
    assert begun.status_code == 201
    report = begun.json()
    assert (report["phase"], report["stage"], report["watch"]) == ("canary", 5, None)
    render = f"{BASE}/playbooks/agent-123/render"
    stamp = (await alice.get(render, params={"task_id": "task-999"})).json()["stamp"]
    assert (stamp["experiment"], stamp["stage"]) == (report["experiment_id"], 5)
    traced = TRACE | {"metadata": {"playbook": stamp}}
    assert (await alice.post(f"{BASE}/traces", json=traced)).status_code == 201
    one = (await alice.get(f"{path}/{report['experiment_id']}")).json()
    counts = [one["canary"][arm]["count"] for arm in ("with_delta", "without_delta")]
    assert sum(counts) == 1
    assert -1 <= one["canary"]["difference_low"] <= one["canary"]["difference_high"] <= 1
    refused = await alice.post(path, json={"delta_id": "delta-789"})
    assert (refused.status_code, refused.json()["code"]) == (409, "experiment_running")
    ended = (await alice.post(f"{path}/{report['experiment_id']}/stop")).json()
    assert (ended["phase"], ended["outcome"]) == ("ended", "stopped")
    listed = (await alice.get(path, params={"limit": 1})).json()
    assert [item["experiment_id"] for item in listed["items"]] == [report["experiment_id"]]
    assert (await alice.get(path, params={"cursor": listed["next_cursor"]})).json()["items"] == []
    assert (await mallory.get(path)).status_code == 404
    assert (await alice.get(f"{path}/nothing")).json()["code"] == "experiment_not_found"


async def test_the_page_shows_what_is_really_answered(alice: httpx2.AsyncClient) -> None:
    page = (ROOT / "docs/reference/playbooks-api.md").read_text(encoding="utf-8")
    blocks = iter(json.loads(found) for found in re.findall(r"```json\n(.*?)```", page, re.DOTALL))
    own = f"{BASE}/playbooks/agent-123"
    created = await alice.post(f"{BASE}/playbooks", json=next(blocks))
    assert created.json().keys() == next(blocks).keys()
    assert (await alice.get(own)).json().keys() == next(blocks).keys()
    assert (await alice.patch(own, json=next(blocks))).json().keys() == next(blocks).keys()
    conflict = next(blocks)
    assert conflict["code"] == "playbook_version_conflict"
    for path in ("traces", "evolution/trigger"):
        answer = await alice.post(f"{BASE}/{path}", json=next(blocks))
        assert answer.json().keys() == next(blocks).keys()
    status = await alice.get(f"{BASE}/evolution/status/agent-123")
    assert status.json().keys() == next(blocks).keys()
    shown, expected = await alice.get(f"{own}/render?task=refund&task_id=task-1000"), next(blocks)
    assert (shown.json().keys(), shown.json()["text"]) == (expected.keys(), expected["text"])
    decided, told = (await alice.get(f"{own}/deltas?limit=1")).json(), next(blocks)
    assert (decided.keys(), decided["items"][0].keys()) == (told.keys(), told["items"][0].keys())
    assert (await alice.get(f"{own}/diff?from=1&to=2")).json() == next(blocks)
    back = await alice.post(f"{own}/rollback", json={"version": 1})
    assert back.json().keys() == next(blocks).keys()
    missing = (await alice.get(f"{BASE}/playbooks/nobody")).json()
    assert missing.items() <= next(blocks).items()
