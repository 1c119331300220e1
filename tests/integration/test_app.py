"""The running service as a stranger meets it: routes, credentials, errors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from jsonschema import Draft202012Validator
from prometheus_client.parser import text_string_to_metric_families

from agentcore.app import LARGEST_BODIES
from tests.fakes.deployment import Deployment

OPEN = {
    "/health/live",
    "/health/ready",
    "/.well-known/agent-card.json",
    "/.well-known/a2a-jwks.json",
    "/a2a/agents/{agent_id}/.well-known/agent-card.json",
}


@pytest.fixture(scope="module")
def http(deployment: Deployment) -> Iterator[httpx2.Client]:
    with deployment.client("admin") as opened:
        yield opened


def test_health_needs_no_credential_and_names_its_parts(deployment: Deployment) -> None:
    assert httpx2.get(f"{deployment.url}/health/live").json()["status"] == "alive"
    ready = httpx2.get(f"{deployment.url}/health/ready").json()
    assert ready["status"] == "ready"
    assert {"database", "cache", "tasks"} <= ready["checks"].keys()


def test_the_api_page_works_without_the_internet(deployment: Deployment) -> None:
    page = httpx2.get(f"{deployment.url}/docs").text
    assert "://" not in page.replace(f"{deployment.url}", "")
    for path in re.findall(r'(?:src|href)="(/[^"]+)"', page):
        assert httpx2.get(f"{deployment.url}{path}").status_code == 200, path


def test_every_documented_operation_says_what_it_answers(deployment: Deployment) -> None:
    document = httpx2.get(f"{deployment.url}/openapi.json").json()
    assert {"/v1/chat/completions", "/a2a", "/internal/context/playbooks"} <= document[
        "paths"
    ].keys()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation.get("summary"), f"{method} {path}"
            good = [status for status in operation["responses"] if status.startswith("2")]
            assert good, f"{method} {path}"


def test_every_documented_body_has_an_example_that_fits(deployment: Deployment) -> None:
    """The hint of a refused request promises one."""
    document = httpx2.get(f"{deployment.url}/openapi.json").json()
    bodies = {
        f"{method} {path}": next(iter(operation["requestBody"]["content"].values()))
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if "requestBody" in operation
    }
    assert len(bodies) > 20
    for where, body in bodies.items():
        schema = {**body["schema"], "components": document["components"]}
        shown = _examples(body, document)
        assert shown, f"{where} has no example"
        for example in shown:
            faults = [error.message for error in Draft202012Validator(schema).iter_errors(example)]
            assert faults == [], where


def _examples(body: dict[str, Any], document: dict[str, Any]) -> list[Any]:
    """Of the body as a whole, or put together from those of its members."""
    if "example" in body:
        return [body["example"]]
    if "examples" in body:
        return [each["value"] for each in body["examples"].values()]
    if "examples" in body["schema"]:
        found: list[Any] = body["schema"]["examples"]
        return found
    named = body["schema"].get("$ref", "").rpartition("/")[2]
    members = document["components"]["schemas"].get(named, {}).get("properties", {})
    made = {name: told["examples"][0] for name, told in members.items() if "examples" in told}
    return [made] if made else []


PROTECTED = [
    ("GET", "/metrics", "metrics"),
    ("POST", "/a2a", "a2a"),
    ("GET", "/v1/models", "llm"),
    ("POST", "/v1/chat/completions", "llm"),
    ("GET", "/internal/environments", "env:act"),
    ("GET", "/internal/routing/stats", "metrics"),
    ("GET", "/internal/costs/summary", "metrics"),
    ("GET", "/internal/agents", "a2a"),
    ("GET", "/internal/tasks", "a2a"),
    ("GET", "/internal/interactions", "a2a"),
    ("GET", "/internal/context/playbooks/nobody", "context:read"),
    ("POST", "/internal/context/playbooks", "context:write"),
    ("POST", "/internal/context/traces", "context:write"),
    ("GET", "/envs/a2a_protocol_test/metadata", "env:act"),
]


@pytest.mark.parametrize(("method", "path", "scope"), PROTECTED)
def test_each_route_needs_its_scope(
    deployment: Deployment, method: str, path: str, scope: str
) -> None:
    url = f"{deployment.url}{path}"
    assert httpx2.request(method, url).status_code == 401
    others = deployment.token("llm" if scope != "llm" else "a2a")
    headers = {"authorization": f"Bearer {others}"}
    assert httpx2.request(method, url, headers=headers).status_code == 403
    headers = {"authorization": f"Bearer {deployment.token(scope)}"}
    assert httpx2.request(method, url, headers=headers).status_code not in {401, 403}


def test_the_document_says_which_routes_need_a_credential(deployment: Deployment) -> None:
    document = httpx2.get(f"{deployment.url}/openapi.json").json()
    assert document["components"]["securitySchemes"].keys() == {"bearer", "api_key"}
    open_paths = {
        path
        for path, operations in document["paths"].items()
        if all(operation["security"] == [] for operation in operations.values())
    }
    assert open_paths == OPEN


def test_no_documented_route_is_open_by_accident(deployment: Deployment) -> None:
    document = httpx2.get(f"{deployment.url}/openapi.json").json()
    opened = {
        path
        for path, operations in document["paths"].items()
        for method in operations
        if httpx2.request(method, f"{deployment.url}{path}").status_code != 401
    }
    assert opened == OPEN


@pytest.mark.parametrize("name", ["authorization", "x-api-key"])
def test_an_api_key_opens_what_its_scopes_say(deployment: Deployment, name: str) -> None:
    from tests.fakes.deployment import agentcore

    made = agentcore("keys", "create", "--subject", "k", "--scope", "llm", home=deployment.home)
    key = made.stdout.strip()
    headers = {name: f"Bearer {key}" if name == "authorization" else key}
    assert httpx2.get(f"{deployment.url}/v1/models", headers=headers).status_code == 200
    assert httpx2.get(f"{deployment.url}/metrics", headers=headers).status_code == 403


def test_unknown_routes_and_methods_are_problems(http: httpx2.Client) -> None:
    missing = http.get("/internal/nothing")
    assert missing.status_code == 404
    assert missing.headers["content-type"] == "application/problem+json"
    assert missing.json()["detail"] == "there is no /internal/nothing"
    wrong = http.request("DELETE", "/internal/context/traces")
    assert wrong.status_code == 405
    assert wrong.headers["allow"] == "POST"
    assert wrong.json()["code"] == "method_not_allowed"
    # Each of a path's methods is a route of its own, and the refusal names them all.
    both = http.request("PATCH", "/internal/environments")
    assert (both.status_code, both.headers["allow"]) == (405, "GET, POST")
    assert both.json()["hint"] == "it answers GET, POST"
    within = http.request("PATCH", "/envs/guess_number/reset")
    assert (within.status_code, within.headers["allow"]) == (405, "POST")


def test_below_v1_errors_have_the_shape_of_openai(
    deployment: Deployment, http: httpx2.Client
) -> None:
    for answer, status in [
        (http.get("/v1/nothing"), 404),
        (http.get("/v1/chat/completions"), 405),
        (http.post("/v1/chat/completions", content=b"{"), 400),
        (http.post("/v1/chat/completions", json={"model": "nobody", "messages": []}), 400),
        (httpx2.get(f"{deployment.url}/v1/models"), 401),
    ]:
        assert answer.status_code in {status, 404 if status == 400 else status}
        assert {"message", "type", "param", "code"} <= answer.json()["error"].keys()


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"{", -32700), (b"[]", -32600), (b'{"jsonrpc":"2.0","id":1,"method":"no.such"}', -32601)],
)
def test_the_rpc_endpoint_answers_in_json_rpc(http: httpx2.Client, body: bytes, code: int) -> None:
    answer = http.post("/a2a", content=body, headers={"content-type": "application/json"})
    assert answer.json()["error"]["code"] == code


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/internal/nothing", "/envs/nothing/ws"])
def test_a_websocket_without_a_credential_is_refused_as_such(
    deployment: Deployment, path: str
) -> None:
    upgrade = {
        "connection": "upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "bm90IGEgc2VjcmV0IGtleQ==",
    }
    assert httpx2.get(f"{deployment.url}{path}", headers=upgrade).status_code == 401


def test_bodies_below_internal_are_bounded(http: httpx2.Client) -> None:
    for path, most in LARGEST_BODIES.items():
        where = path if path != "/internal/" else "/internal/context/playbooks"
        answer = http.post(where, json={"agent_id": "a", "error_message": "x" * most})
        assert (answer.status_code, answer.json()["code"]) == (413, "request_too_large")


def test_malformed_and_invalid_bodies_say_what_is_wrong(http: httpx2.Client) -> None:
    broken = http.post(
        "/internal/context/traces", content=b"{", headers={"content-type": "application/json"}
    )
    assert (broken.status_code, broken.json()["code"]) == (400, "malformed_request")
    wrong = http.post("/internal/context/traces", json={"agent_id": "a"})
    assert wrong.status_code == 422
    assert "execution_time" in json.dumps(wrong.json()["errors"])


def test_metrics_are_in_prometheus_form_and_hold_the_seeds_names(http: httpx2.Client) -> None:
    text = http.get("/metrics").text
    names = {family.name for family in text_string_to_metric_families(text)}
    assert {
        "ace_evolution_requests",
        "ace_llm_cost_usd",
        "ace_circuit_breaker_state",
        "ace_playbook_retrieval_duration_seconds",
        "parallax_requests",
        "parallax_request_latency_seconds",
        "parallax_cost_savings_dollars",
        "http_requests",
    } <= names


def test_a_request_keeps_its_id(http: httpx2.Client) -> None:
    answer = http.get("/health/live", headers={"x-request-id": "mine-1"})
    assert answer.headers["x-request-id"] == "mine-1"


def test_one_tenant_does_not_see_another(deployment: Deployment) -> None:
    with (
        deployment.client("admin", tenant="red") as red,
        deployment.client("admin", tenant="blue") as blue,
    ):
        made = red.post(
            "/internal/context/playbooks",
            json={"agent_id": "red-agent", "initial_context": {"goals": ["win"]}},
        )
        assert made.status_code == 201
        for path in ("", "/render", "/history"):
            assert blue.get(f"/internal/context/playbooks/red-agent{path}").status_code == 404
            assert red.get(f"/internal/context/playbooks/red-agent{path}").status_code == 200
        trace = {"agent_id": "red-agent", "task_id": "t", "execution_time": 1, "success": True}
        assert blue.post("/internal/context/traces", json=trace).status_code == 404
        assert blue.get("/internal/agents/red-agent").status_code == 404


@pytest.mark.parametrize(
    "path", ["/internal/agents/%00", "/internal/tasks/%00", "/internal/tasks?context_id=%00"]
)
def test_what_no_row_can_hold_is_refused_before_the_database(
    http: httpx2.Client, path: str
) -> None:
    assert http.get(path).status_code == 422


def test_one_private_header_of_several_is_enough(http: httpx2.Client) -> None:
    """The cluster of this deployment is private; another model's provider does not exist."""
    ask = {"model": "playbook-7b", "messages": [{"role": "user", "content": "hello"}]}
    for values in (("1", "0"), ("0", "1")):
        headers = [("x-agentcore-private", value) for value in values]
        answer = http.post("/v1/chat/completions", json=ask, headers=headers)
        assert answer.headers["x-agentcore-reason"] == "privacy_required"


def test_a_nesting_that_cannot_be_passed_on_is_the_callers_fault(http: httpx2.Client) -> None:
    deep = "[" * 900 + "]" * 900
    body = f'{{"model": "playbook-7b", "messages": [{{"role": "user", "content": {deep}}}]}}'
    answer = http.post("/v1/chat/completions", content=body)
    assert answer.status_code == 400
    assert "nested too deep" in answer.json()["error"]["message"]


def test_no_tenant_takes_another_ones_agent(deployment: Deployment) -> None:
    with deployment.client("admin", tenant="red") as red:
        for taken in ("playbook-agent", "playbook-agent.blue"):
            made = red.post(
                "/internal/context/playbooks", json={"agent_id": taken, "initial_context": {}}
            )
            assert made.status_code in {404, 409}, made.text


BAD_AGENTS = [
    b"", b"{", b"[]", b"null", b"7", b'"card"', b"{}", b'{"agent_card": null}',
    b'{"agent_card": []}', b'{"agent_card": {"name": NaN}}',
    b'{"agent_card": {"name": "x\\u0000"}}',
    b'{"agent_card": {"name": "\\ud800"}}', b'{"agent_card": {"name": "x", "y": NaN}}',
    b'{"agent_card": {"name": "x", "y": 1e999}}',
    b'{"agent_card": {"name": "x", "y": 1%s}}' % (b"0" * 99),
    b'{"agent_card": {"name": "x", "\\ud800": 1}}', b'{"agent_card": {"name": "\xff"}}',
    b'{"agent_card": {"name": "x"}, "agent_id": "a b"}',
    b'{"agent_card": {"name": "x"}, "heartbeat_seconds": NaN}',
    b'{"agent_card": {"name": "x"}, "heartbeat_seconds": 1e308}',
    b'{"agent_card": {"name": "x", "y": %s}}' % (b"[" * 60 + b"]" * 60),
    b'{"card_url": "http://[::1"}', b'{"card_url": "http://x\\u0000/"}', b'{"card_url": ["http://x"]}',
    b'{"\\ud800": 1}',
]  # fmt: skip
BAD_WISHES = [
    b'{"text": "\\u0000"}', b'{"text": "\\ud800"}', b'{"text": 7}', b'{"tags": "x"}',
    b'{"capabilities": [null]}', b'{"limit": 1000}', b'{"limit": NaN}', b'{"cursor": "\\u0000"}',
    b'{"cursor": "WyIxIiwiYVx1MDAwMCJd"}',
    b'{"cursor": "WyIxIiwiYSJdIiwi"}', b'{"cursor": "WyI5OTk5OTk5OTk5OTk5OSIsImEiXQ"}',
    b'{"capabilities": %s}' % (b'["x"' + b',"x"' * 200 + b"]"), b'{"skills": ["\\u0000"]}',
    b'{"capabilities": ["\\ud800"]}',
]  # fmt: skip


@pytest.mark.parametrize("path", ["", "/discover", "/poet/drain"])
def test_bodies_about_agents_that_are_none(http: httpx2.Client, path: str) -> None:
    """Each is the caller's fault, and is named so."""
    bodies = [*BAD_AGENTS[:5], *BAD_WISHES] if path == "/discover" else BAD_AGENTS
    headers = {"content-type": "application/json"}
    for body in bodies:
        if path == "/poet/drain" and body in (b"", b"{}", b"null"):
            continue
        answer = http.post(f"/internal/agents{path}", content=body, headers=headers)
        assert 400 <= answer.status_code < 500, (body[:80], answer.text[:200])
