from __future__ import annotations

import pytest

from agentcore.training.openenv.environments.a2a_policies import A2AReferencePolicy, solution
from agentcore.training.openenv.environments.a2a_protocol_test import A2AProtocolTestEnv


def test_only_requests_have_solutions() -> None:
    with pytest.raises(ValueError, match="not a task request"):
        solution({"type": "discovery_response", "agents": []})


@pytest.mark.parametrize("seed", range(20))
def test_the_reference_breaks_no_rule(seed: int) -> None:
    env, policy = A2AProtocolTestEnv(), A2AReferencePolicy()
    observation, done = env.reset(seed), False
    while not done:
        step = env.step(policy.act(observation))
        observation, done = step.observation, step.terminated or step.truncated
        assert step.info["violations"] == []
    assert env.completed_tasks == len(env.tasks)
