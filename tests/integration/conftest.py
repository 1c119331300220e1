from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.deployment import Deployment, deployed, providers, simulated_cluster


@pytest.fixture(scope="session")
def deployment() -> Iterator[Deployment]:
    """A running service with a simulated cluster behind it, for tests that leave it as it is."""
    with (
        simulated_cluster("--latency", "0.001", "--token-latency", "0") as cluster,
        deployed(
            AGENTCORE_LLM_GATEWAY__PROVIDERS=providers(cluster=cluster),
            AGENTCORE_AGENTS__MODEL="playbook-7b",
            AGENTCORE_ACE__ACE_LLM_MODEL="playbook-7b",
            AGENTCORE_SERVER__LOG_LEVEL="warning",
            AGENTCORE_TRAINING__SCHEDULING__POLL_SECONDS="0.2",
        ) as running,
    ):
        yield running
