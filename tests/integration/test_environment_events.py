"""Events of environment sessions through the whole service: credentials, scopes, streams."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.fakes.deployment import Deployment

SESSIONS = "/internal/environments/sessions"


def call(http: httpx2.Client, method: str, **params: Any) -> dict[str, Any]:
    document = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer: dict[str, Any] = http.post("/a2a", json=document).json()
    return answer


def lines(response: httpx2.Response) -> list[dict[str, Any]]:
    found = (line.removeprefix("data: ") for line in response.iter_lines() if "data: " in line)
    return [json.loads(line) for line in found]


def test_a_subscription_ends_with_the_answer_to_its_call(deployment: Deployment) -> None:
    with deployment.client("a2a", "env:act", "env:control", subject="sub") as http:
        call(http, "environment.open", environment="guess_number", session_id="s", seed=7)
        ask = {"method": "environment.subscribe", "params": {"session_id": "s", "after": "0"}}
        with http.stream("POST", "/a2a", json={"jsonrpc": "2.0", "id": 9, **ask}) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            guess = {"type": "guess", "parameters": {"number": 42}}
            call(http, "environment.step", session_id="s", action=guess)
            call(http, "environment.close", session_id="s")
            *events, last = lines(response)
        assert [event["params"]["kind"] for event in events] == ["reset", "done", "closed"]
        assert last["id"] == 9
        assert last["result"] == {
            "session_id": "s",
            "closed": True,
            "last_event_id": events[-1]["params"]["event_id"],
        }
        again = call(http, "environment.subscribe", session_id="s")
        assert again["error"]["data"]["code"] == "environment_session_not_found"


@pytest.fixture(scope="module")
def hers(deployment: Deployment) -> str:
    """The unique id of a session of ada's."""
    with deployment.client("a2a", "env:act", "env:control", subject="ada") as http:
        asked: dict[str, Any] = {"environment": "guess_number", "seed": 1}
        call(http, "environment.open", **asked, session_id="hers")
        opened = call(http, "environment.open", **asked)
        return str(opened["result"]["session_id"])


@pytest.mark.parametrize(
    "owner",
    [
        {"subject": "bob"},
        {"subject": "ada", "tenant": "other"},
    ],
    ids=["another caller", "another tenant"],
)
def test_guessed_ids_tell_nothing(deployment: Deployment, hers: str, owner: dict[str, str]) -> None:
    with deployment.client("a2a", "env:act", "env:control", **owner) as http:
        for name in ("hers", hers):
            answers = [
                call(http, "environment.reset", session_id=name),
                call(http, "environment.step", session_id=name, action={"type": "guess"}),
                call(http, "environment.state", session_id=name),
                call(http, "environment.render", session_id=name),
                call(http, "environment.close", session_id=name),
                call(http, "environment.subscribe", session_id=name),
                call(http, "task.execute", session_id=name, action="guess"),
            ]
            codes = {answer["error"]["data"]["code"] for answer in answers}
            assert codes == {"environment_session_not_found"}
            for method, path in (("GET", ""), ("GET", "/events"), ("DELETE", "")):
                answer = http.request(method, f"{SESSIONS}/{name}{path}")
                assert answer.status_code == 404
                assert answer.json()["code"] == "environment_session_not_found"
            with pytest.raises(InvalidStatus) as caught:
                connect(socket(deployment, name), additional_headers=dict(http.headers))
            assert caught.value.response.status_code == 404
        assert http.get(SESSIONS).json()["sessions"] == []


def socket(deployment: Deployment, session_id: str) -> str:
    return f"ws{deployment.url.removeprefix('http')}{SESSIONS}/{session_id}/ws?after=0"


def test_watching_needs_a_credential_that_may_act(deployment: Deployment, hers: str) -> None:
    for scopes, status in (((), 401), (("env:control",), 403)):
        headers = {}
        if scopes:
            token = deployment.token(*scopes, subject="ada")
            headers = {"authorization": f"Bearer {token}"}
        answer = httpx2.get(f"{deployment.url}{SESSIONS}/{hers}/events", headers=headers)
        assert answer.status_code == status
        with pytest.raises(InvalidStatus) as caught:
            connect(socket(deployment, hers), additional_headers=headers)
        assert caught.value.response.status_code == status
    token = deployment.token("env:act", subject="ada")
    headers = {"authorization": f"Bearer {token}"}
    with connect(socket(deployment, hers), additional_headers=headers) as watching:
        assert json.loads(watching.recv())["params"]["kind"] == "reset"
    refused = httpx2.delete(f"{deployment.url}{SESSIONS}/{hers}", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize("origin", ["https://evil.example", "http://[", "null"])
def test_foreign_pages_watch_nothing(deployment: Deployment, hers: str, origin: str) -> None:
    token = deployment.token("env:act", subject="ada")
    headers = {"authorization": f"Bearer {token}", "origin": origin}
    with pytest.raises(InvalidStatus) as caught:
        connect(socket(deployment, hers), additional_headers=headers)
    assert caught.value.response.status_code == 403


def test_sessions_are_measured_by_environment_and_not_by_id(
    deployment: Deployment, hers: str
) -> None:
    with deployment.client("metrics") as http:
        text = http.get("/metrics").text
    for side in ("client", "server"):
        labels = f'{{environment="guess_number",side="{side}"}}'
        assert f"openenv_reset_duration_seconds_count{labels}" in text
    assert "hers" not in text
    assert hers not in text
