"""Tests of parallax/models.py, on what real schedulers report (tests/wire/parallax)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentcore.kit.jsonvalue import JsonObject
from agentcore.llm_gateway.models import LLMRequest
from agentcore.llm_gateway.parallax.models import (
    LOST_AFTER,
    STALE_AFTER,
    Capacity,
    ClusterStatus,
    health_of,
    status_of,
)
from tests.fakes.llm_upstream import SERVING

WIRE = Path(__file__).parents[3] / "wire" / "parallax"


def reported(**changes: Any) -> ClusterStatus:
    data: JsonObject = {**SERVING, **changes}
    return status_of({"type": "cluster_status", "data": data})


def capacity(**changes: Any) -> Capacity:
    known: dict[str, Any] = {
        "health": "ready",
        "limit": 4,
        "in_flight": 0,
        "source": "reported",
        "age_seconds": 0.5,
        "models": ("m",),
    }
    return Capacity(**{**known, **changes})


def test_a_report_is_read() -> None:
    status = reported()
    assert status.serving
    assert status.model_name == "Qwen/Qwen3-8B"
    node = status.nodes[0]
    assert (node.name, node.gpu_name, node.gpu_memory_gb) == ("node-1", "NVIDIA L4", 24.0)


def test_what_is_not_reported_is_unknown() -> None:
    node = reported().nodes[0]
    assert node.gpu_utilization is None
    assert node.cpu_utilization is None
    assert node.loaded_models == ("Qwen/Qwen3-8B",)
    waiting = {**SERVING["node_list"][0], "status": "waiting"}
    assert reported(node_list=[waiting]).nodes[0].loaded_models is None
    assert reported(max_running_request=None).max_running_request is None


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "waiting"},
        {"node_list": []},
        {"node_list": [{"node_id": "n", "status": "waiting"}]},
        {"need_more_nodes": True},
        {"max_running_request": 0},
    ],
    ids=str,
)
def test_available_needs_somebody_to_serve(changes: dict[str, Any]) -> None:
    assert not reported(**changes).serving


@pytest.mark.parametrize("report", [None, [], {}, {"data": {}}, {"data": {"status": 7}}], ids=str)
def test_what_is_no_report_is_refused(report: Any) -> None:
    with pytest.raises(ValueError, match="not a cluster status"):
        status_of(report)


def test_odd_members_do_not_matter() -> None:
    status = reported(node_list=["x", {"gpu_num": "two"}], model_name=None)
    assert status.nodes[0].gpu_num is None
    assert status.model_name == ""
    assert reported(node_list="x").nodes == ()


@pytest.mark.parametrize(
    ("age", "reachable", "serving", "expected"),
    [
        (0.0, True, True, "ready"),
        (STALE_AFTER + 1, True, True, "degraded"),
        (LOST_AFTER + 1, True, True, "down"),
        (0.0, True, False, "not_ready"),
        (STALE_AFTER + 1, True, False, "not_ready"),
        (0.0, False, True, "down"),
    ],
)
def test_health(age: float, reachable: bool, serving: bool, expected: str) -> None:
    status = reported() if serving else reported(status="waiting")
    assert health_of(status, age=age, reachable=reachable) == expected


def test_never_heard_is_unknown_and_worth_a_try() -> None:
    assert health_of(None, age=None, reachable=True) == "unknown"
    assert capacity(health="unknown", limit=None, models=None).has_availability()


def test_capacity() -> None:
    assert capacity().has_availability()
    assert not capacity(in_flight=4).has_availability()
    assert not capacity(health="down").has_availability()
    request = LLMRequest(model="m", messages=[])
    assert capacity().can_handle_request(request)
    assert not capacity(models=("other",)).can_handle_request(request)


def test_recorded_reports_are_understood() -> None:
    serving = {}
    for path in WIRE.glob("status_*.json"):
        recorded = json.loads(path.read_text())
        serving[path.stem] = status_of(recorded["response"]["json"]).serving
    assert serving["status_available"]
    assert not serving["status_waiting"]
    assert not serving["status_without_nodes"]
    assert not serving["status_lies"]
