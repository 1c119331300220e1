from __future__ import annotations

import re

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from agentcore.kit.supervisor import Supervisor
from agentcore.llm_gateway.errors import UpstreamMalformed
from agentcore.llm_gateway.parallax.heads import EVERY_SECONDS, HeadSignals
from agentcore.llm_gateway.transport import ConnectionPool
from agentcore.simulators.head_metrics import HeadMetrics
from tests.fakes.clock import ManualClock
from tests.fakes.llm_upstream import Behaviour, Upstream, answers, fails
from tests.fakes.waiting import eventually

FIRST = "vllm:time_to_first_token_seconds"
MODEL = "simulated/playbook-7b"


@pytest.fixture
def engine() -> CollectorRegistry:
    registry = CollectorRegistry()
    metrics = HeadMetrics(registry, MODEL)
    metrics.served(first_token=0.2, whole=1.5, prompt_tokens=7, completion_tokens=3)
    return registry


@pytest.fixture
def head(upstream: Upstream, pool: ConnectionPool, clock: ManualClock) -> HeadSignals:
    return HeadSignals(upstream.url, cluster="cluster", pool=pool, clock=clock)


def tells(registry: CollectorRegistry, *, openly: bool) -> Behaviour:
    text = generate_latest(registry).decode()
    if openly:
        # As OpenMetrics writes it: a counter's family has no suffix, and the text an end.
        text = re.sub(r"^(# \w+ \S+)_total ", r"\1 ", text, flags=re.MULTILINE) + "# EOF\n"
        kept = [line for line in text.splitlines(keepends=True) if "_created" not in line]
        return answers("".join(kept).encode(), "application/openmetrics-text")
    return answers(text.encode(), "text/plain")


@pytest.mark.parametrize("openly", [False, True])
async def test_what_the_engine_measured(
    head: HeadSignals, upstream: Upstream, engine: CollectorRegistry, openly: bool
) -> None:
    upstream.exposition = tells(engine, openly=openly)
    reading = await head.read()
    buckets, total = reading.histograms[FIRST][MODEL]
    assert total == pytest.approx(0.2)
    assert buckets[-1] == ("+Inf", 1.0)
    assert reading.counters["vllm:prompt_tokens"] == {MODEL: 7.0}
    assert "vllm:num_requests_running" not in reading.counters


@pytest.mark.parametrize(
    "answer",
    [fails(404), answers(b"{}"), answers(b"\xff\xfe x")],
    ids=["missing", "another document", "bytes"],
)
async def test_what_is_no_engine_is_said(
    head: HeadSignals, upstream: Upstream, answer: Behaviour
) -> None:
    upstream.exposition = answer
    with pytest.raises(UpstreamMalformed):
        await head.read()


async def test_a_head_that_fell_silent_has_no_reading(
    head: HeadSignals,
    upstream: Upstream,
    engine: CollectorRegistry,
    clock: ManualClock,
    supervisor: Supervisor,
) -> None:
    upstream.exposition = tells(engine, openly=False)
    supervisor.start("head", head.watch)
    await eventually(lambda: bool(head.reading.histograms))
    upstream.exposition = fails(500)
    await eventually(lambda: clock.slept == [EVERY_SECONDS])
    clock.advance(EVERY_SECONDS)
    await eventually(lambda: not head.reading.histograms)
