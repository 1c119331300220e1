"""Checkpoints and schedules over HTTP, on the running service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.fakes.deployment import Deployment, wait_until

BASE = "/internal/training"
ABSENT = "0190a000-0000-7000-8000-000000000000"


@pytest.fixture(scope="module")
def http(deployment: Deployment) -> Iterator[httpx2.Client]:
    with deployment.client("env:control", tenant="trainers") as opened:
        yield opened


def answer(response: httpx2.Response, status: int = 200) -> Any:
    assert response.status_code == status, response.text
    return response.json()


def test_a_checkpoint_is_saved_compared_and_rolled_back(http: httpx2.Client) -> None:
    where = f"{BASE}/checkpoints"
    for number, text in enumerate(("one", "two", "three"), start=1):
        body = {
            "kind": "prompt",
            "name": "router",
            "content": {"text": text},
            "metrics": {"reward": number / 2},
            "resume": {"position": number, "optimizer": {"trials": number}},
        }
        saved = answer(http.post(where, json=body), 201)
        assert (saved["version"], saved["created_by"]) == (number, "tester")
    own = f"{where}/prompt/router"
    assert answer(http.get(f"{own}/latest"))["content"] == {"text": "three"}
    assert answer(http.get(f"{own}/versions/2"))["resume"]["optimizer"] == {"trials": 2}
    changes = answer(http.get(f"{own}/diff", params={"before": 1, "after": 3}))
    assert changes == {"reward": {"before": 0.5, "after": 1.5, "change": 1.0}}
    assert answer(http.post(f"{own}/rollback", json={"version": 1}), 201)["version"] == 4
    page = answer(http.get(own, params={"limit": 2}))
    assert [each["version"] for each in page["checkpoints"]] == [4, 3]
    assert answer(http.post(f"{own}/retain", json={"keep_last": 1}))["deleted"] == [1, 2, 3]
    listed = answer(http.get(where))["checkpoints"]
    (entry,) = [each for each in listed if each["name"] == "router"]
    assert (entry["name"], entry["version"]) == ("router", 4)
    stale = {"kind": "prompt", "name": "router", "content": 1, "expected_version": 3}
    conflict = answer(http.post(where, json=stale), 409)
    assert (conflict["code"], conflict["version"]) == ("checkpoint_conflict", 4)
    assert answer(http.get(f"{own}/versions/9"), 404)["code"] == "checkpoint_not_found"
    answer(http.get(f"{where}/weights/router/latest"), 422)


def test_a_scheduled_rollout_is_played_and_kept(http: httpx2.Client) -> None:
    body = {
        "name": "compare",
        "job": {
            "environment": "guess_number",
            "policy": "reference",
            "baseline": "random",
            "episodes": 5,
            "sessions": 2,
        },
        "timing": {"kind": "once"},
    }
    schedule = answer(http.post(f"{BASE}/schedules", json=body), 201)
    assert answer(http.get(f"{BASE}/schedules/{schedule['id']}"))["name"] == "compare"

    def done() -> bool:
        found = answer(http.get(f"{BASE}/jobs", params={"schedule_id": schedule["id"]}))["jobs"]
        return bool(found) and found[0]["status"] in ("done", "failed")

    wait_until(done, "the job is done")
    (job,) = answer(http.get(f"{BASE}/jobs", params={"schedule_id": schedule["id"]}))["jobs"]
    assert job["error"] is None
    result = answer(http.get(f"{BASE}/jobs/{job['id']}"))["result"]
    assert result["report"]["policy"] == "reference"
    assert result["comparison"]["pairs"] == 5
    assert answer(http.get(f"{BASE}/schedules/{schedule['id']}"))["state"] == "finished"


def test_a_schedule_is_paused_resumed_and_cancelled(http: httpx2.Client) -> None:
    body = {
        "name": "later",
        "job": {"environment": "guess_number"},
        "timing": {"kind": "daily", "times": ["02:30"], "timezone": "Europe/Berlin"},
    }
    schedule = answer(http.post(f"{BASE}/schedules", json=body), 201)
    for act, state in (("pause", "paused"), ("resume", "active"), ("cancel", "cancelled")):
        changed = answer(http.post(f"{BASE}/schedules/{schedule['id']}/{act}"))
        assert changed["state"] == state
    assert answer(http.post(f"{BASE}/schedules/{schedule['id']}/resume"), 409)["code"] == (
        "schedule_over"
    )


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"job": {"environment": "chess"}}, 404, "environment_not_found"),
        ({"job": {"environment": "guess_number", "policy": "best"}}, 404, "policy_not_found"),
        ({"job": {"environment": "guess_number", "policy": "os:system"}}, 422, "invalid_input"),
        (
            {"job": {"environment": "guess_number", "reward": {"name": "best"}}},
            422,
            "reward_invalid",
        ),
        ({"timing": {"kind": "daily", "times": ["1:00"], "timezone": "X"}}, 422, "invalid_input"),
        ({"name": "a\x00b"}, 422, "invalid_input"),
        ({"job": {"environment": "guess_number", "max_steps": 10**30}}, 422, "invalid_input"),
        (
            {
                "job": {
                    "environment": "guess_number",
                    "reward": {"name": "constant", "parameters": {"value": 10**30}},
                }
            },
            422,
            "invalid_input",
        ),
        ({"timing": {"kind": "cron", "line": "* * * * *"}}, 422, "invalid_input"),
    ],
)
def test_what_cannot_be_scheduled_is_refused(
    http: httpx2.Client, change: dict[str, Any], status: int, code: str
) -> None:
    body = {"name": "n", "job": {"environment": "guess_number"}, "timing": {"kind": "once"}}
    refused = answer(http.post(f"{BASE}/schedules", json={**body, **change}), status)
    assert refused["code"] == code


@pytest.mark.parametrize("name", ["\x00", "", "a" * 257], ids=["nul", "empty", "long"])
def test_a_metric_has_a_name_that_can_be_kept(http: httpx2.Client, name: str) -> None:
    body = {"kind": "policy", "name": "odd", "content": 1, "metrics": {name: 1.0}}
    assert answer(http.post(f"{BASE}/checkpoints", json=body), 422)["code"] == "invalid_input"


@pytest.mark.parametrize("cursor", ["\x00", "prompt/\x00", "nonsense"])
def test_a_cursor_is_one_of_ours(http: httpx2.Client, cursor: str) -> None:
    refused = http.get(f"{BASE}/checkpoints", params={"cursor": cursor})
    assert answer(refused, 422)["code"] == "invalid_input"


def test_only_orchestrators_of_a_tenant_see_its_training(
    deployment: Deployment, http: httpx2.Client
) -> None:
    body = {"kind": "policy", "name": "secret", "content": 1}
    answer(http.post(f"{BASE}/checkpoints", json=body), 201)
    with deployment.client("env:act", tenant="trainers") as agent:
        assert agent.get(f"{BASE}/checkpoints").status_code == 403
        assert agent.post(f"{BASE}/checkpoints", json=body).status_code == 403
    with deployment.client("env:control", tenant="others") as other:
        assert other.get(f"{BASE}/checkpoints/policy/secret/latest").status_code == 404
        assert answer(other.get(f"{BASE}/checkpoints"))["checkpoints"] == []
    for route in (f"jobs/{ABSENT}", f"schedules/{ABSENT}"):
        assert http.get(f"{BASE}/{route}").status_code == 404


def test_reward_functions_describe_themselves(http: httpx2.Client) -> None:
    assert {"environment", "sum", "potential"} <= answer(http.get(f"{BASE}/rewards")).keys()
