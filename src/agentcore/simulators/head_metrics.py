from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class HeadMetrics:
    """The vLLM metrics of a head node, as dead and as alive as Parallax leaves them.

    The gauges of running and waiting requests stay 0 under load, because the engine reports no
    scheduler statistics; times and tokens move.
    """

    def __init__(self, registry: CollectorRegistry, model: str) -> None:
        self._registry = registry
        names = ("model_name",)
        for gauge in ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"):
            Gauge(f"vllm:{gauge}", gauge, names, registry=registry).labels(model).set(0)
        first = Histogram(
            "vllm:time_to_first_token_seconds", "first token", names, registry=registry
        )
        whole = Histogram(
            "vllm:e2e_request_latency_seconds", "whole request", names, registry=registry
        )
        prompt = Counter("vllm:prompt_tokens", "prompt tokens", names, registry=registry)
        generated = Counter("vllm:generation_tokens", "reply tokens", names, registry=registry)
        self._first = first.labels(model)
        self._whole = whole.labels(model)
        self._prompt = prompt.labels(model)
        self._generated = generated.labels(model)

    def served(
        self, *, first_token: float, whole: float, prompt_tokens: int, completion_tokens: int
    ) -> None:
        self._first.observe(first_token)
        self._whole.observe(whole)
        self._prompt.inc(prompt_tokens)
        self._generated.inc(completion_tokens)

    def exposition(self) -> bytes:
        return generate_latest(self._registry)
