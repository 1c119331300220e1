from __future__ import annotations

from tests.fakes.deployment import Deployment, agentcore


def test_environments_of_a_service_are_listed(deployment: Deployment) -> None:
    ended = agentcore("env", "list", "--url", deployment.url, home=deployment.home)
    assert ended.returncode == 0, ended.stderr
    assert "a2a_protocol_test" in ended.stdout
    assert "bundled" in ended.stdout
