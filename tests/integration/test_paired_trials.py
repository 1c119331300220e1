"""A proposal is tried by pairs of episodes in a real environment: all of it over HTTP."""

from __future__ import annotations

import time
from typing import Any

from agentcore.simulators.lessons import LESSONS
from tests.fakes.deployment import Deployment

AGENT = "agent-of-pairs"
PLAYBOOK = f"/internal/context/playbooks/{AGENT}"
PATIENCE = 120.0


def test_a_bundled_environment_decides_what_is_let_in(deployment: Deployment) -> None:
    """The good rules of the simulated model's table are let in, and a hold-out is kept."""
    with deployment.client("admin", subject="ann", tenant="pairs") as http:
        new = {"agent_id": AGENT, "initial_context": {"goals": ["follow the protocol"]}}
        assert http.post("/internal/context/playbooks", json=new).status_code == 201
        missing = http.put(f"{PLAYBOOK}/environment", json={"environment": "nowhere"})
        assert missing.status_code == 404
        bound = http.put(f"{PLAYBOOK}/environment", json={"environment": "a2a_protocol_test"})
        assert bound.json() == {"agent_id": AGENT, "environment": "a2a_protocol_test"}

        rules = [{"op": "ADD", "section": "rules", "text": one.rule} for one in LESSONS]
        unsure = {"delta_id": "rules", "changes": {"ops": rules}, "confidence": 0.4}
        assert http.patch(PLAYBOOK, json=unsure).json()["applied"] is False
        begun = http.post(f"{PLAYBOOK}/experiments", json={"delta_id": "rules"}).json()
        assert (begun["phase"], begun["environment"]) == ("paired", "a2a_protocol_test")

        found = decided(http, begun["experiment_id"])
        assert (found["phase"], found["outcome"]) == ("watch", "better"), found
        pairs = found["canary"]
        assert pairs["with_delta"]["count"] == pairs["without_delta"]["count"] >= 8
        assert pairs["with_delta"]["mean"] > pairs["without_delta"]["mean"]
        assert found["cost_usd"] == 0, "the cluster is own hardware"
        playbook = http.get(PLAYBOOK).json()
        assert LESSONS[0].rule in str(playbook["content"])
        # Trials teach nobody: they leave no traces.
        status = http.get(f"/internal/context/evolution/status/{AGENT}").json()
        assert (status["pending_traces"], status["deltas_applied"]) == (0, 1)
        assert http.delete(f"{PLAYBOOK}/environment").status_code == 204


def decided(http: Any, experiment_id: str) -> dict[str, Any]:
    end = time.monotonic() + PATIENCE
    while True:
        found: dict[str, Any] = http.get(f"{PLAYBOOK}/experiments/{experiment_id}").json()
        if found["phase"] != "paired":
            return found
        assert time.monotonic() < end, found
        time.sleep(0.05)
