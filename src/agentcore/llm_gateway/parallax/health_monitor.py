"""The clusters' health and use as metrics (seed 000, section 3.5).

Calls that the router sends are counted by the gateway, once, and their savings come from the
ledger's prices. ``record_request`` is for whoever asks a cluster past the router.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from agentcore.llm_gateway.metrics import GatewayMetrics
from agentcore.llm_gateway.models import TokenUsage
from agentcore.llm_gateway.parallax.metrics import HeadReading, cluster_families, head_families
from agentcore.llm_gateway.parallax.models import ClusterStats
from agentcore.llm_gateway.prices import PriceBook

PARALLAX_NAME = "parallax"


class ParallaxHealthMonitor(Collector):
    """``clusters`` and ``heads`` tell what is known when somebody asks for the metrics."""

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        metrics: GatewayMetrics,
        prices: Callable[[], PriceBook],
        clusters: Callable[[], Iterable[ClusterStats]] = tuple,
        heads: Callable[[], Mapping[str, HeadReading]] = dict,
    ) -> None:
        self._metrics = metrics
        self._prices = prices
        self._clusters = clusters
        self._heads = heads
        self._told: dict[str, ClusterStats] = {}
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        watched = {stats.cluster: stats for stats in self._clusters()}
        yield from cluster_families({**self._told, **watched}.values())
        yield from head_families(self._heads())

    async def record_request(
        self,
        *,
        model: str,
        latency_seconds: float,
        success: bool,
        provider: str,
        usage: TokenUsage | None = None,
    ) -> None:
        """Count a call that the router does not know of.

        What it saved is counted where ``usage`` says how many tokens an API would have charged.
        """
        own = provider == PARALLAX_NAME or provider in {each.cluster for each in self._clusters()}
        series = self._metrics.series(provider, model, self_hosted=own)
        if not success:
            series.ended("error")
            return
        series.succeeded(latency_seconds, None)
        price = self._prices().reference
        if own and usage is not None and price is not None:
            self._metrics.savings += float(price.of(usage) or 0)

    async def update_cluster_metrics(self, cluster_stats: ClusterStats) -> None:
        """Take over what was read of a cluster that is none of the gateway's providers."""
        self._told[cluster_stats.cluster] = cluster_stats
