from __future__ import annotations

from prometheus_client import CollectorRegistry

from agentcore.simulators.head_metrics import HeadMetrics


def test_times_and_tokens_move_while_the_gauges_stay_dead() -> None:
    registry = CollectorRegistry()
    metrics = HeadMetrics(registry, "simulated/m")
    metrics.served(first_token=0.2, whole=0.5, prompt_tokens=7, completion_tokens=3)
    labels = {"model_name": "simulated/m"}

    def value(name: str) -> float | None:
        return registry.get_sample_value(name, labels)

    assert value("vllm:num_requests_running") == 0
    assert value("vllm:num_requests_waiting") == 0
    assert value("vllm:kv_cache_usage_perc") == 0
    assert value("vllm:time_to_first_token_seconds_sum") == 0.2
    assert value("vllm:e2e_request_latency_seconds_count") == 1
    assert value("vllm:prompt_tokens_total") == 7
    assert value("vllm:generation_tokens_total") == 3
    assert b"vllm:prompt_tokens_total" in metrics.exposition()
