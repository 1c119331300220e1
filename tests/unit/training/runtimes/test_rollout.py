from __future__ import annotations

from typing import Any

import pytest

from agentcore.training.openenv.runtimes.rollout import Rollout, read_rollout


def deployment(
    *, wanted: int = 2, generation: int = 3, conditions: Any = (), **status: int
) -> dict[str, Any]:
    return {
        "metadata": {"generation": generation},
        "spec": {"replicas": wanted},
        "status": {"observedGeneration": generation, "conditions": list(conditions), **status},
    }


def all_of(count: int) -> dict[str, int]:
    names = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    return dict.fromkeys(names, count)


def pod(
    *, waiting: str = "", message: str = "", ready: bool = False, exit_code: int | None = None
) -> dict[str, Any]:
    state = {"waiting": {"reason": waiting, "message": message}} if waiting else {"running": {}}
    ended = {} if exit_code is None else {"terminated": {"reason": "Error", "exitCode": exit_code}}
    container = {"ready": ready, "state": state, "lastState": ended}
    return {"metadata": {"name": "a-1"}, "status": {"containerStatuses": [container]}}


def outcome(found: Rollout) -> tuple[bool, str, bool]:
    trouble = found.trouble
    hopeless = trouble is not None and trouble.hopeless
    return found.done, found.status, hopeless


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ((deployment(**all_of(2)), []), (True, "running", False)),
        ((deployment(), []), (False, "pending", False)),
        ((deployment(**{**all_of(2), "replicas": 3}), []), (False, "running", False)),
        ((deployment(**{**all_of(2), "updatedReplicas": 1}), []), (False, "running", False)),
        ((deployment(**all_of(1)), []), (False, "degraded", False)),
        ((deployment(), [pod(waiting="ImagePullBackOff")]), (False, "failed", True)),
        ((deployment(), [pod(waiting="ErrImagePull")]), (False, "pending", False)),
        ((deployment(), [pod(waiting="CrashLoopBackOff", exit_code=1)]), (False, "failed", True)),
        ((deployment(), [pod(waiting="ContainerCreating")]), (False, "pending", False)),
        ((deployment(), [pod()]), (False, "pending", False)),
        ((deployment(), [{}]), (False, "pending", False)),
        (({}, []), (False, "pending", False)),
    ],
)
def test_states_are_read(found: Any, expected: tuple[bool, str, bool]) -> None:
    assert outcome(read_rollout(*found)) == expected


def test_numbers_of_the_state_before_do_not_count() -> None:
    stale = deployment(**all_of(2))
    stale["status"]["observedGeneration"] = 2
    assert not read_rollout(stale, []).done


def test_reasons_are_the_clusters_own() -> None:
    crash = pod(waiting="CrashLoopBackOff", message="back-off 10s", exit_code=137)
    found = read_rollout(deployment(), [pod(), crash])
    assert found.trouble is not None
    assert found.trouble.crashed
    assert found.trouble.detail == "CrashLoopBackOff: back-off 10s (last: Error, exit code 137)"


@pytest.mark.parametrize(
    ("condition", "hopeless"),
    [
        ({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate"}, True),
        ({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}, True),
        ({"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}, False),
    ],
)
def test_conditions_of_the_deployment_count(condition: dict[str, str], hopeless: bool) -> None:
    found = read_rollout(deployment(conditions=[{**condition, "message": "why"}]), [])
    assert (found.trouble is not None) is hopeless
    assert found.trouble is None or found.trouble.detail.endswith(": why")


def test_a_pod_on_its_way_out_is_no_trouble() -> None:
    leaving = pod(waiting="CrashLoopBackOff")
    leaving["metadata"]["deletionTimestamp"] = "2026-11-20T14:35:54Z"
    assert read_rollout(deployment(), [leaving]).trouble is None


def test_no_node_is_a_reason_to_wait() -> None:
    unplaced = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    found = read_rollout(
        deployment(), [{"status": {"conditions": [{**unplaced, "message": "0/3 nodes"}]}}]
    )
    assert found.trouble is not None
    assert (found.trouble.detail, found.trouble.hopeless) == ("Unschedulable: 0/3 nodes", False)
