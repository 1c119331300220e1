"""Series of Parallax clusters beside those of the gateway, which counts their calls.

What a cluster does not tell has no sample: Parallax tells no utilisation of its GPUs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, get_args

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from agentcore.llm_gateway.parallax.models import ClusterStats, Health

HEALTHS: tuple[Health, ...] = get_args(Health)


class HeadReading(NamedTuple):
    """What a head node's engine counted: ``histograms`` and ``counters`` by its names for them,
    then by model. A histogram is its buckets (upper bound and count so far) and its sum.
    """

    histograms: Mapping[str, Mapping[str, tuple[Sequence[tuple[str, float]], float]]]
    counters: Mapping[str, Mapping[str, float]]


NO_READING = HeadReading({}, {})


def cluster_families(clusters: Iterable[ClusterStats]) -> Iterator[Metric]:
    health = GaugeMetricFamily(
        "parallax_cluster_health", "1 for the state it is in", labels=["cluster", "state"]
    )
    stale = GaugeMetricFamily(
        "parallax_signals_stale", "1 while a cluster's status is old", labels=["cluster"]
    )
    nodes = GaugeMetricFamily(
        "parallax_nodes", "Nodes by what the scheduler says of them", labels=["cluster", "status"]
    )
    used = GaugeMetricFamily(
        "parallax_cluster_utilization",
        "Share in use: slots and starts of a cluster, gpu_memory and cpu of a node that tells",
        labels=["node", "resource"],
    )
    models = GaugeMetricFamily(
        "parallax_active_models", "Models that a node has loaded", labels=["node"]
    )
    tokens = GaugeMetricFamily(
        "parallax_start_tokens",
        "Calls that the scheduler would start now; absent where starts are not limited",
        labels=["cluster"],
    )
    for each in clusters:
        for state in HEALTHS:
            health.add_metric([each.cluster, state], float(state == each.health))
        stale.add_metric([each.cluster], float(each.stale))
        for status, count in Counter(node.status for node in each.nodes).items():
            nodes.add_metric([each.cluster, status], count)
        if each.starts is not None:
            tokens.add_metric([each.cluster], each.starts.tokens)
        for name, resource, share in _shares(each):
            used.add_metric([name, resource], share)
        for node in each.nodes:
            if node.loaded_models is not None:
                models.add_metric([node.name], len(node.loaded_models))
    yield from (health, stale, nodes, used, models, tokens)


def _shares(stats: ClusterStats) -> Iterator[tuple[str, str, float]]:
    if stats.limit:
        yield stats.cluster, "slots", stats.in_flight / stats.limit
    if stats.starts is not None and stats.starts.size:
        yield stats.cluster, "starts", 1 - stats.starts.tokens / stats.starts.size
    for node in stats.nodes:
        if node.gpu_utilization is not None:
            yield node.name, "gpu_memory", node.gpu_utilization
        if node.cpu_utilization is not None:
            yield node.name, "cpu", node.cpu_utilization


def head_families(readings: Mapping[str, HeadReading]) -> Iterator[Metric]:
    """Of clusters by name. An engine's gauges stay 0 under Parallax and are not taken over."""
    labels = ["cluster", "model"]
    histograms = {
        "vllm:time_to_first_token_seconds": HistogramMetricFamily(
            "parallax_head_time_to_first_token_seconds", "On the head node", labels=labels
        ),
        "vllm:inter_token_latency_seconds": HistogramMetricFamily(
            "parallax_head_inter_token_latency_seconds", "On the head node", labels=labels
        ),
        "vllm:e2e_request_latency_seconds": HistogramMetricFamily(
            "parallax_head_request_latency_seconds", "On the head node", labels=labels
        ),
    }
    counters = {
        "vllm:prompt_tokens": CounterMetricFamily(
            "parallax_head_prompt_tokens_total", "Read by the head node", labels=labels
        ),
        "vllm:generation_tokens": CounterMetricFamily(
            "parallax_head_generation_tokens_total", "Written by the head node", labels=labels
        ),
    }
    for cluster, reading in readings.items():
        for name, histogram in histograms.items():
            for model, (buckets, total) in reading.histograms.get(name, {}).items():
                histogram.add_metric([cluster, model], list(buckets), total)
        for name, counter in counters.items():
            for model, value in reading.counters.get(name, {}).items():
                counter.add_metric([cluster, model], value)
    yield from histograms.values()
    yield from counters.values()
