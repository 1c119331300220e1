"""Every panel of the Parallax dashboard has samples when the gateway serves a simulated cluster."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from agentcore.llm_gateway.gateway import Gateway, open_gateway
from agentcore.llm_gateway.models import GatewayConfig, LLMRequest
from agentcore.llm_gateway.providers.parallax import ParallaxProvider
from agentcore.simulators.models import ClusterConfig, Fault
from agentcore.simulators.server import RunningCluster, serve_cluster
from tests.architecture import metrics
from tests.fakes.llm_upstream import Upstream, llm_upstream

DASHBOARD = Path(__file__).parents[2] / "monitoring/grafana-dashboards/parallax-overview.json"
MODEL = "simulated/playbook-7b"
OWN = {"self_hosted": True, "models": {"direct": MODEL}}
HELLO = LLMRequest(model=MODEL, messages=[{"role": "user", "content": "Hello"}], max_tokens=3)


def expressions() -> Iterator[tuple[str, str, str]]:
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"], target["legendFormat"]


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


def has_series(samples: list[Sample], name: str, labels: set[str]) -> bool:
    return any(sample.name == name and labels <= sample.labels.keys() for sample in samples)


async def test_every_panel_has_samples(
    gateway: Gateway, cluster: RunningCluster, registry: CollectorRegistry
) -> None:
    await drive(gateway, cluster)
    # The head node is read beside the calls; its engine had counted none before them.
    cluster_provider = gateway.router.providers["cluster"]
    assert isinstance(cluster_provider, ParallaxProvider)
    assert cluster_provider.head is not None
    cluster_provider.head.reading = await cluster_provider.head.read()
    families = text_string_to_metric_families(generate_latest(registry).decode())
    samples = [sample for family in families for sample in family.samples]
    lacking = []
    for title, expression, legend in expressions():
        labels = set(re.findall(r"{{(\w+)}}", legend))
        grouped = re.search(r"by \(([^)]*)\)", expression)
        labels |= set(grouped.group(1).replace(" ", "").split(",")) if grouped else set()
        [name] = metrics.asked(expression)
        if not has_series(samples, name, labels):
            lacking.append(f"{title}: {name} with {sorted(labels)}")
    assert lacking == []


def test_the_panels_of_the_specification() -> None:
    titles = {title for title, _, _ in expressions()}
    assert titles >= {
        "Request Distribution",
        "Latency Comparison",
        "Cost Savings",
        "Cluster Utilization",
    }
