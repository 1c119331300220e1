"""What a head node's engine measured, read from its ``/metrics`` now and then."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import structlog
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_metrics

from agentcore.kit.clock import Clock
from agentcore.llm_gateway.errors import UpstreamError, UpstreamMalformed
from agentcore.llm_gateway.parallax.metrics import NO_READING, HeadReading
from agentcore.llm_gateway.transport import ConnectionPool, Transport

EVERY_SECONDS = 15.0
READ_SECONDS = 5.0
CONNECT_SECONDS = 2.0

log = structlog.get_logger()


class HeadSignals:
    """``url`` is the head node's, without a path. ``reading`` is empty while it does not answer."""

    def __init__(self, url: str, *, cluster: str, pool: ConnectionPool, clock: Clock) -> None:
        self.reading = NO_READING
        self._cluster = cluster
        self._clock = clock
        self._transport = Transport(
            pool,
            url,
            provider=f"the head node of {cluster}",
            connect_seconds=CONNECT_SECONDS,
            headers={},
        )
        self._head = self._transport.head("GET", "/metrics")

    async def watch(self) -> None:
        while True:
            try:
                self.reading = await self.read()
            except UpstreamError as error:
                if self.reading is not NO_READING:
                    log.info("head node is silent", cluster=self._cluster, error=error.detail)
                self.reading = NO_READING
            await self._clock.sleep(EVERY_SECONDS)

    async def read(self) -> HeadReading:
        exchange = await self._transport.request(self._head, b"", seconds=READ_SECONDS)
        try:
            if exchange.status != 200:
                raise UpstreamMalformed(
                    f"the head node of {self._cluster} answers {exchange.status} to GET /metrics"
                )
            kind = exchange.header(b"content-type") or b""
            text = (await exchange.read(READ_SECONDS)).decode(errors="replace")
        finally:
            exchange.close()
        parse = open_metrics if b"openmetrics" in kind else plain_metrics
        try:
            return reading_of(parse(text))
        except ValueError as exc:
            raise UpstreamMalformed(f"the head node of {self._cluster} tells no metrics") from exc


def reading_of(families: Iterable[Metric]) -> HeadReading:
    buckets: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    sums: dict[tuple[str, str], float] = {}
    counters: dict[str, dict[str, float]] = defaultdict(dict)
    for family in families:
        for sample in family.samples:
            model = sample.labels.get("model_name", "")
            match family.type, sample.name.removeprefix(family.name):
                case "histogram", "_bucket":
                    buckets[family.name][model][sample.labels["le"]] = sample.value
                case "histogram", "_sum":
                    sums[family.name, model] = sample.value
                case "counter", "_total":
                    counters[family.name][model] = sample.value
                case _:
                    # Gauges say 0 whatever happens; the rest is not shown.
                    pass
    return HeadReading(
        {
            name: {
                model: (tuple(counts.items()), sums.get((name, model), 0.0))
                for model, counts in models.items()
            }
            for name, models in buckets.items()
        },
        counters,
    )
