"""Every panel of the Parallax dashboard has samples when the gateway serves a simulated cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from agentcore.llm_gateway.gateway import Gateway, open_gateway
from agentcore.llm_gateway.models import GatewayConfig, LLMRequest
from agentcore.llm_gateway.providers.parallax import ParallaxProvider
from agentcore.simulators.models import ClusterConfig, Fault
from agentcore.simulators.server import RunningCluster, serve_cluster
from tests.fakes.llm_upstream import Upstream, llm_upstream
from tests.fakes.scrapes import lacking, panels, samples_of

DASHBOARD = "parallax-overview.json"
MODEL = "simulated/playbook-7b"
OWN = {"self_hosted": True, "models": {"direct": MODEL}}
HELLO = LLMRequest(model=MODEL, messages=[{"role": "user", "content": "Hello"}], max_tokens=3)


@pytest.fixture
async def cluster() -> AsyncIterator[RunningCluster]:
    async with serve_cluster(ClusterConfig(port=0)) as running:
        yield running


@pytest.fixture
async def head() -> AsyncIterator[RunningCluster]:
    async with serve_cluster(ClusterConfig(port=0, role="head")) as running:
        yield running


@pytest.fixture
async def api() -> AsyncIterator[Upstream]:
    async with llm_upstream() as running:
        yield running


@pytest.fixture
async def gateway(
    cluster: RunningCluster,
    head: RunningCluster,
    api: Upstream,
    ground: dict[str, Any],
) -> AsyncIterator[Gateway]:
    config = GatewayConfig.model_validate(
        {
            "ledger_flush": 60,
            "providers": [
                {
                    "name": "cluster",
                    "kind": "parallax",
                    "base_url": cluster.base_url,
                    "head_url": head.base_url,
                },
                {"name": "node", "kind": "compatible", "base_url": f"{head.base_url}/v1", **OWN},
                {
                    "name": "api",
                    "kind": "openai",
                    "base_url": api.v1,
                    "api_key": "k",
                    "models": {MODEL: "gpt-5-mini"},
                },
            ],
        }
    )
    async with open_gateway(config, **ground) as opened:
        yield opened


async def drive(gateway: Gateway, cluster: RunningCluster) -> None:
    await gateway.clusters["cluster"].get_capacity()
    answer = await gateway.router.route_request(HELLO)
    assert answer.provider == "cluster"
    assert [text async for text in gateway.router.route_stream(HELLO)]
    direct = LLMRequest(model="direct", messages=HELLO.messages, max_tokens=3)
    assert (await gateway.router.route_request(direct)).provider == "node"
    cluster.fail(Fault(kind="internal_error", times=1))
    assert (await gateway.router.route_request(HELLO)).provider == "api"


async def test_every_panel_has_samples(
    gateway: Gateway, cluster: RunningCluster, registry: CollectorRegistry
) -> None:
    await drive(gateway, cluster)
    # The head node is read beside the calls; its engine had counted none before them.
    cluster_provider = gateway.router.providers["cluster"]
    assert isinstance(cluster_provider, ParallaxProvider)
    assert cluster_provider.head is not None
    cluster_provider.head.reading = await cluster_provider.head.read()
    samples = samples_of(generate_latest(registry).decode())
    assert lacking(panels(DASHBOARD), samples) == []


def test_the_panels_of_the_specification() -> None:
    titles = {panel.where for panel in panels(DASHBOARD)}
    assert titles >= {
        "Request Distribution",
        "Latency Comparison",
        "Cost Savings",
        "Cluster Utilization",
    }
