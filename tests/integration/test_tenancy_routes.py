"""Every route and every JSON-RPC method of the running service, as another tenant tries it.

What is served is read from the service itself: a new route or method fails here until it says what
a stranger could name in it, or why there is nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agentcore.a2a_protocol.sdk.current import REQUESTS
from agentcore.a2a_protocol.sdk.previous import METHODS as OLD_METHODS
from agentcore.kit.ids import Ids
from tests.fakes.deployment import Deployment

SCOPES = ("a2a", "llm", "context:read", "context:write", "env:act", "env:control", "metrics")
HOOK = "https://hooks.example/"
TESTS = Path(__file__).parents[1]

# Parameters of paths by which a caller names what belongs to a tenant.
OWNED = {"agent_id", "task_id", "session_id", "experiment_id", "version"}
# Lists of what belongs to a tenant or to one caller, with ways to ask for somebody's.
LISTS: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("GET", "/internal/agents"): [{}],
    ("GET", "/internal/tasks"): [{}],
    ("GET", "/internal/environments/sessions"): [{}],
    ("GET", "/internal/interactions"): [{}, {"agent_id": "{agent}"}, {"task_id": "{task}"}],
    ("POST", "/internal/agents/discover"): [{"text": "poet rhyme"}, {"include_unhealthy": True}],
}
# Bodies that name an agent; the paths do not.
BODIES: dict[str, dict[str, Any]] = {
    "/internal/agents": {"agent_id": "{agent}", "agent_card": {"name": "x"}},
    "/internal/context/evolution/trigger": {"agent_id": "{agent}"},
    "/internal/context/playbooks": {"agent_id": "{agent}", "initial_context": {}},
    "/internal/context/traces": {"agent_id": "{agent}", "execution_time": 1.0, "success": True},
}
# Ids are unique in the installation: who names a new one there has made it.
TAKEN = {"/internal/agents", "/internal/context/playbooks"}
# Where the tenants of other routes are told apart, or why there are none.
ELSEWHERE = {
    "/internal/budgets": "integration/test_gateway_limits.py",
    "/internal/rates": "integration/test_gateway_limits.py",
    "/internal/keys": "unit/llm_gateway/test_keys.py",
    "/internal/costs": "unit/llm_gateway/costs/test_costs_api.py",
    "/internal/routing": "unit/llm_gateway/test_gateway_api.py",
    "/internal/training": "integration/test_training_api.py",
}
NOBODYS = {
    "/health": "probes",
    "/metrics": "the operator's; no label names a tenant",
    "/.well-known": "public by the specification",
    "/a2a": "each of its methods is tried below",
    "/a2a/agents/{agent_id}": "agents of the service itself; its methods are those of /a2a",
    "/a2a/agents/{agent_id}/.well-known/agent-card.json": "public by the specification",
    "/v1": "a call brings along all that it is about; nothing is kept under an id",
    "/internal/capacity": "the operator's clusters",
    "/internal/environments": "the installation's catalogue, seen by all who may act there",
}


@dataclass(frozen=True)
class Belongings:
    """Ids of what somebody has; those of nobody where they were made up."""

    agent: str
    task: str
    session: str

    def into(self, value: Any) -> Any:
        """``value`` with these ids in their places."""
        names = vars(self)
        text = json.dumps(value)
        for name, each in names.items():
            text = text.replace(f"{{{name}}}", each)
        return json.loads(text)

    def path(self, template: str) -> str:
        places = {"agent_id": self.agent, "task_id": self.task, "session_id": self.session}
        return template.format(**places, experiment_id=self.task, version=1)

    def blanked(self, text: str) -> str:
        for name, each in vars(self).items():
            text = text.replace(each, f"<{name}>")
        return text


def message(text: str, **members: Any) -> dict[str, Any]:
    return {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": text}], **members}


def old_message(**members: Any) -> dict[str, Any]:
    parts = [{"kind": "text", "text": "hello"}]
    return {"kind": "message", "messageId": "m", "role": "user", "parts": parts, **members}


# Every way to name somebody's task, session, webhook or agent.
ATTEMPTS: list[tuple[str, dict[str, Any]]] = [
    ("GetTask", {"id": "{task}"}),
    ("CancelTask", {"id": "{task}"}),
    ("SubscribeToTask", {"id": "{task}"}),
    ("SendMessage", {"message": message("x", taskId="{task}")}),
    ("SendStreamingMessage", {"message": message("x", taskId="{task}")}),
    ("CreateTaskPushNotificationConfig", {"taskId": "{task}", "url": HOOK}),
    ("GetTaskPushNotificationConfig", {"taskId": "{task}", "id": "{task}"}),
    ("ListTaskPushNotificationConfigs", {"taskId": "{task}"}),
    ("DeleteTaskPushNotificationConfig", {"taskId": "{task}", "id": "{task}"}),
    ("message/send", {"message": old_message(taskId="{task}")}),
    ("message/stream", {"message": old_message(taskId="{task}")}),
    ("tasks/get", {"id": "{task}"}),
    ("tasks/cancel", {"id": "{task}"}),
    ("tasks/resubscribe", {"id": "{task}"}),
    (
        "tasks/pushNotificationConfig/set",
        {"taskId": "{task}", "pushNotificationConfig": {"url": HOOK}},
    ),
    ("tasks/pushNotificationConfig/get", {"id": "{task}"}),
    ("tasks/pushNotificationConfig/list", {"id": "{task}"}),
    (
        "tasks/pushNotificationConfig/delete",
        {"id": "{task}", "pushNotificationConfigId": "{task}"},
    ),
    ("task.query", {"task_id": "{task}"}),
    ("task.query", {"task_id": "{task}", "session_id": "{session}"}),
    ("task.cancel", {"task_id": "{task}"}),
    ("task.execute", {"action": "guess", "session_id": "{session}"}),
    ("agent.delegate", {"message": "x", "session_id": "{session}"}),
    ("agent.discover", {"text": "x", "session_id": "{session}"}),
    ("environment.step", {"session_id": "{session}", "action": {"type": "guess"}}),
    ("environment.reset", {"session_id": "{session}"}),
    ("environment.state", {"session_id": "{session}"}),
    ("environment.render", {"session_id": "{session}"}),
    ("environment.close", {"session_id": "{session}"}),
    ("environment.subscribe", {"session_id": "{session}"}),
]
# An agent is seen by its tenant, and changed by its owner.
AGENTS = ("get", "heartbeat", "drain", "suspend", "resume", "terminate")
OF_AGENTS: list[tuple[str, dict[str, Any]]] = [
    *((f"agent.{name}", {"agent_id": "{agent}"}) for name in AGENTS),
    ("agent.delegate", {"message": "x", "target_agent": "{agent}"}),
]
# Methods that name nobody's; what they list is looked through below, agents' ids included.
NAMELESS = {
    "ListTasks": {},
    "GetExtendedAgentCard": {},
    "agent/getAuthenticatedExtendedCard": {},
    "agent.discover": {"text": "tenancy poet rhyme"},
    "task.query": {},
    "environment.list": {},
}
# They make something new of the caller's own; ids that are taken stay their owners' (below).
MAKING = {"agent.register", "environment.open"}


class Person:
    def __init__(self, deployment: Deployment, tenant: str, subject: str = "ada") -> None:
        self.tenant = tenant
        self.http = deployment.client(*SCOPES, tenant=tenant, subject=subject)

    def call(self, method: str, params: dict[str, Any]) -> str:
        document = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        version = {} if "/" in method else {"a2a-version": "1.0"}
        response = self.http.post("/a2a", json=document, headers=version)
        told = [line for line in response.text.splitlines() if line.startswith("data: ")]
        return told[0].removeprefix("data: ") if told else response.text

    def result(self, method: str, **params: Any) -> Any:
        answer = json.loads(self.call(method, params))
        assert "result" in answer, (method, answer)
        return answer["result"]


@pytest.fixture(scope="module")
def alice(deployment: Deployment) -> Iterator[Person]:
    person = Person(deployment, "tenancy")
    with person.http:
        yield person


@pytest.fixture(scope="module", params=["another tenant", "the same tenant"])
def stranger(deployment: Deployment, request: pytest.FixtureRequest) -> Iterator[Person]:
    """The same name elsewhere, or somebody else of the same tenant."""
    tenant, subject = ("evil", "ada") if request.param == "another tenant" else ("tenancy", "bob")
    person = Person(deployment, tenant, subject)
    with person.http:
        yield person


@pytest.fixture(scope="module")
def eve(deployment: Deployment) -> Iterator[Person]:
    person = Person(deployment, "evil")
    with person.http:
        yield person


@pytest.fixture(scope="module")
def hers(alice: Person) -> Belongings:
    poet = f"tenancy-{Ids().hex()}"
    alice.result("agent.register", agent_card={"name": "Poet rhyme"}, agent_id=poet)
    sent = alice.result(
        "SendMessage", message=message("hello"), configuration={"returnImmediately": True}
    )
    task = sent["task"]["id"]
    alice.result("CreateTaskPushNotificationConfig", taskId=task, url=HOOK)
    opened = alice.result("environment.open", environment="guess_number", seed=7)
    return Belongings(poet, task, opened["session_id"])


@pytest.fixture(scope="module")
def nobodys() -> Belongings:
    return Belongings(f"tenancy-{Ids().hex()}", str(Ids().new()), Ids().hex())


@pytest.fixture(scope="module")
def operations(deployment: Deployment) -> list[tuple[str, str]]:
    document = httpx2.get(f"{deployment.url}/openapi.json").json()
    return [
        (method.upper(), path) for path, served in document["paths"].items() for method in served
    ]


def covering(path: str, prefixes: dict[str, str]) -> str:
    """What the longest of the prefixes says that the path lies under."""
    under = [each for each in prefixes if path == each or path.startswith(f"{each}/")]
    return prefixes[max(under, key=len)] if under else ""


def names(path: str) -> set[str]:
    return {each.partition("}")[0] for each in path.split("{")[1:]}


def is_tried(path: str) -> bool:
    named = names(path)
    inside = path.startswith("/internal/")
    return path in BODIES or (inside and bool(named) and named <= OWNED)


def test_every_route_is_tried_or_says_why_not(operations: list[tuple[str, str]]) -> None:
    missing = [
        f"{method} {path}"
        for method, path in operations
        if not is_tried(path)
        and (method, path) not in LISTS
        and not covering(path, ELSEWHERE)
        and not covering(path, NOBODYS)
    ]
    assert missing == [], "what could a stranger name there?"
    assert set(operations) >= LISTS.keys()
    assert {path for _, path in operations} >= BODIES.keys()
    assert all((TESTS / each).exists() for each in ELSEWHERE.values())


def test_every_method_is_tried_or_names_nothing(deployment: Deployment) -> None:
    card = httpx2.get(f"{deployment.url}/.well-known/agent-card.json").json()
    offered = card["capabilities"]["extensions"]
    (ours,) = [each for each in offered if "methods" in each.get("params", {})]
    served = {*REQUESTS, *OLD_METHODS, *ours["params"]["methods"]}
    tried = {method for method, _ in ATTEMPTS + OF_AGENTS}
    assert served == tried | NAMELESS.keys() | MAKING


def test_her_own_is_there(alice: Person, hers: Belongings) -> None:
    """Otherwise nothing below says anything."""
    for template in (
        "/internal/agents/{agent_id}",
        "/internal/tasks/{task_id}",
        "/internal/environments/sessions/{session_id}",
        "/internal/context/playbooks/{agent_id}",
        "/internal/context/evolution/status/{agent_id}",
    ):
        assert alice.http.get(hers.path(template)).status_code == 200, template
    for method in ("GetTask", "ListTaskPushNotificationConfigs", "environment.state"):
        params = next(params for name, params in ATTEMPTS if name == method)
        assert alice.result(method, **hers.into(params))
    assert HOOK in alice.call("ListTaskPushNotificationConfigs", {"taskId": hers.task})


def test_methods_know_nothing_of_what_is_not_the_callers(
    alice: Person, stranger: Person, hers: Belongings, nobodys: Belongings
) -> None:
    for method, params in ATTEMPTS:
        refused = stranger.call(method, hers.into(params))
        absent = stranger.call(method, nobodys.into(params))
        assert '"error"' in refused, (method, refused)
        assert hers.blanked(refused) == nobodys.blanked(absent), method
    for method, params in OF_AGENTS:
        told = stranger.call(method, hers.into(params))
        absent = stranger.call(method, nobodys.into(params))
        if stranger.tenant == "tenancy":
            assert ('"result"' in told) is (method == "agent.get"), (method, told)
        else:
            assert hers.blanked(told) == nobodys.blanked(absent), method
    kept = alice.result("ListTaskPushNotificationConfigs", taskId=hers.task)
    assert [each["url"] for each in kept["configs"]] == [HOOK]
    assert alice.result("environment.state", session_id=hers.session)
    assert alice.result("GetTask", id=hers.task)["status"]["state"] != "TASK_STATE_CANCELED"


def test_routes_know_nothing_of_what_is_not_the_callers(
    eve: Person, operations: list[tuple[str, str]], hers: Belongings, nobodys: Belongings
) -> None:
    for method, path in operations:
        if not is_tried(path) or (method, path) in LISTS:
            continue
        answers = []
        for ids in (hers,) if path in TAKEN else (hers, nobodys):
            body = ids.into(BODIES.get(path, {})) if method in {"POST", "PUT", "PATCH"} else None
            response = eve.http.request(method, ids.path(path), json=body)
            answers.append((response.status_code, ids.blanked(response.text)))
        assert answers[0] == answers[-1], (method, path)
        assert answers[0][0] >= 400, (method, path, answers[0])


def test_lists_hold_nothing_that_is_not_the_callers(
    alice: Person, eve: Person, hers: Belongings
) -> None:
    def listed(person: Person, method: str, path: str, asked: dict[str, Any]) -> str:
        given = {"params" if method == "GET" else "json": hers.into(asked)}
        response = person.http.request(method, path, **given)
        assert response.status_code == 200, (path, response.text)
        return response.text

    for (method, path), ways in LISTS.items():
        for asked in ways:
            found = listed(eve, method, path, asked)
            assert hers.blanked(found) == found, (path, asked)
        if path != "/internal/interactions":
            assert hers.blanked(listed(alice, method, path, {})) != listed(alice, method, path, {})
    for method, params in NAMELESS.items():
        told = eve.call(method, params)
        assert hers.blanked(told) == told, method


def test_ids_that_are_taken_stay_their_owners(stranger: Person, hers: Belongings) -> None:
    taken = json.loads(
        stranger.call("agent.register", {"agent_card": {"name": "x"}, "agent_id": hers.agent})
    )
    assert taken["error"]["data"]["code"] == "agent_id_taken"
    mine = stranger.result(
        "environment.open", environment="guess_number", session_id=hers.session, seed=1
    )
    closed = stranger.result("environment.close", session_id=hers.session)
    assert closed["closed"], mine
