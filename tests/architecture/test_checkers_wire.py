"""The rules about errors, metrics and pages find what was planted for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from agentcore.kit.errors import AgentCoreError
from tests.architecture import errors, metrics, pages
from tests.architecture.source import Source


def planted(module: str = "agentcore.ace.errors", **members: Any) -> errors.ErrorType:
    """An error class as a package of ours would declare it."""
    return type("Planted", (AgentCoreError,), {"__module__": module, **members})


WHOLE: dict[str, Any] = {
    "code": "planted",
    "http_status": 409,
    "rpc_code": -32050,
    "retryable": False,
}


def test_a_whole_error_is_left_alone() -> None:
    error = planted(**WHOLE)
    assert [*errors.undeclared(error), *errors.misplaced(error)] == []


@pytest.mark.parametrize("name", errors.WIRE)
def test_an_error_that_inherits_its_wire_is_found(name: str) -> None:
    parent = planted(**WHOLE)
    own = {key: value for key, value in WHOLE.items() if key != name}
    child = type("Child", (parent,), {"__module__": "agentcore.ace.errors", **own})
    assert name in " ".join(errors.undeclared(child))


@pytest.mark.parametrize(
    "wrong",
    [
        {"code": "Planted-Error"},
        {"http_status": 200},
        {"rpc_code": -32001},
        {"rpc_code": -32049},
        {"rpc_code": 7},
        {"retryable": "yes"},
    ],
    ids=str,
)
def test_a_wire_that_no_client_understands_is_found(wrong: dict[str, Any]) -> None:
    assert list(errors.misplaced(planted(**{**WHOLE, **wrong})))


def test_the_numbers_of_a2a_belong_to_its_package() -> None:
    own = planted("agentcore.a2a_protocol.errors", **{**WHOLE, "rpc_code": -32001})
    assert list(errors.misplaced(own)) == []


def test_a_shared_code_is_found() -> None:
    twins = [planted(**WHOLE), planted(**WHOLE)]
    assert len(errors.shared_codes(twins)) == 1
    assert errors.shared_codes(twins[:1]) == []


def test_errors_are_found_below_errors() -> None:
    base = Source.of("src/agentcore/kit/a.py", "class Base(errors.AgentCoreError): ...")
    child = Source.of("src/agentcore/ace/b.py", "class Child(Base): ...")
    other = Source.of("src/agentcore/ace/c.py", "class Other(Exception): ...")
    assert errors.defining_modules([child, other, base]) == ["agentcore.ace.b", "agentcore.kit.a"]


METRICS = """
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily

class GatewayMetrics:
    def __init__(self, registry: R) -> None:
        self.calls = Counter("llm_calls_total", "Calls.", ["model"], registry=registry)
        self.seconds = Histogram("llm_seconds", "Seconds.", registry=registry)
        self.free = Gauge(name="slots", documentation="Free.", labelnames=("provider",))

    def collect(self) -> Iterator[M]:
        yield GaugeMetricFamily("queue_depth", "Waiting.", labels=["queue"])
"""


def source(text: str) -> Source:
    return Source.of("src/agentcore/llm_gateway/metrics.py", text)


def test_samples_have_the_names_that_prometheus_stores() -> None:
    assert metrics.defined([source(METRICS)]) == {
        "llm_calls_total",
        "llm_calls_created",
        "llm_seconds_bucket",
        "llm_seconds_sum",
        "llm_seconds_count",
        "llm_seconds_created",
        "slots",
        "queue_depth",
    }


FORWARDED = """
from functools import partial
from prometheus_client import Counter, Gauge

def _makers(registry: R) -> C:
    def counter(name: str, text: str, labels: list[str]) -> Counter:
        return Counter(name, text, labels, registry=registry)

    return counter

class M:
    def __init__(self, registry: R) -> None:
        counter = _makers(registry)
        gauge = partial(Gauge, registry=registry)
        self.calls = counter("calls", "Calls.", ["task_id"])
        self.depth = gauge("depth", "Waiting.")
"""


def test_names_are_followed_through_forwarding_functions() -> None:
    assert metrics.defined([source(FORWARDED)]) == {"calls_total", "calls_created", "depth"}
    assert list(metrics.unreadable(source(FORWARDED))) == []
    assert len(list(metrics.unbounded_labels(source(FORWARDED)))) == 1


def test_a_counter_of_another_library_is_no_metric() -> None:
    text = 'from collections import Counter\nCounter("letters")'
    assert metrics.defined([source(text)]) == set()


def test_a_computed_name_is_found() -> None:
    text = 'from prometheus_client import Gauge\nGauge(f"{prefix}_depth", "Waiting.")'
    assert list(metrics.unreadable(source(text)))
    assert list(metrics.unreadable(source(METRICS))) == []


def test_a_metric_away_from_home_is_found() -> None:
    away = Source.of("src/agentcore/llm_gateway/gateway.py", METRICS)
    assert list(metrics.homeless(away))
    assert list(metrics.homeless(source(METRICS))) == []


def test_a_label_per_agent_is_found() -> None:
    text = 'from prometheus_client import Counter\nCounter("a", "b", ["model", "agent_id"])'
    assert list(metrics.unbounded_labels(source(text)))
    assert list(metrics.unbounded_labels(source(METRICS))) == []


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("llm_calls_total", {"llm_calls_total"}),
        ('sum by (model) (rate(calls_total{model=~"a|b"}[$__rate_interval]))', {"calls_total"}),
        ("a_total / ignoring(code) group_left(team) b_total > bool 1e3", {"a_total", "b_total"}),
        (
            "histogram_quantile(0.95, sum(rate(seconds_bucket[5m])) by (le))",
            {"seconds_bucket"},
        ),
        ("label_values(calls_total{job='x'}, model)", {"calls_total"}),
        ("label_values(model)", set()),
        ("max_over_time(depth[1h:5m] offset 1d) and on() up == 1", {"depth", "up"}),
        ('label_replace(depth, "a", "$1", "b", "(.*)")', {"depth"}),
        ("topk($n, job:calls:rate5m) or ${metric}", {"job:calls:rate5m"}),
        ("clamp_min(1 - errors_total, 0) unless absent(x)", {"errors_total", "x"}),
    ],
)
def test_names_of_an_expression(expression: str, names: set[str]) -> None:
    assert metrics.asked(expression) == names


def test_a_dashboard_that_asks_for_nothing_known_is_found(tmp_path: Path) -> None:
    panel = {"targets": [{"expr": "rate(calls_total[5m]) + gone_total"}]}
    variable = {"query": {"query": "label_values(lost_total, model)"}}
    page = tmp_path / "dashboard.json"
    page.write_text(json.dumps({"panels": [panel], "templating": {"list": [variable]}}))
    assert metrics.unknown(page, {"calls_total"}) == ["gone_total", "lost_total"]


def test_a_recorded_series_exists(tmp_path: Path) -> None:
    page = tmp_path / "rules.yml"
    page.write_text(
        "groups:\n"
        "- rules:\n"
        "  - {record: 'job:calls', expr: sum(calls_total)}\n"
        "  - {alert: Slow, expr: 'job:calls > 1 and process_open_fds > 2 and gone > 3'}\n"
    )
    assert metrics.monitoring_files(tmp_path) == [page]
    assert metrics.unknown(page, {"calls_total"}) == ["gone"]


README = """
```console
$ python3 dev.py demo --stay   # the whole loop
agentcore prints this
$ AGENTCORE_HOME=/tmp/x agentcore serve --port 0 | head
```

```python
agentcore = 1
```

    ```bash
    agentcore token --subject me \\
      --scope admin && python3 dev.py run agentcore db upgrade
    ```
"""


def test_commands_are_read_off_a_page() -> None:
    assert list(pages.command_lines(README)) == [
        ["python3", "dev.py", "demo", "--stay"],
        ["agentcore", "serve", "--port", "0"],
        ["head"],
        ["agentcore", "token", "--subject", "me", "--scope", "admin"],
        ["python3", "dev.py", "run", "agentcore", "db", "upgrade"],
    ]


def planted_cli() -> pages.Cli:
    app, db = typer.Typer(), typer.Typer()

    @app.command()
    def serve(port: int = 8001, auth: bool = True) -> None: ...

    @db.command()
    def upgrade() -> None: ...

    app.add_typer(db, name="db")
    return pages.Cli.of(app)


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("agentcore serve --port=9 --no-auth", False),
        ("agentcore --help", False),
        ("agentcore db upgrade", False),
        ("python3 dev.py run agentcore db upgrade", False),
        ("python3 dev.py run python x.py", False),
        ("curl http://127.0.0.1:8001/health", False),
        ("agentcore serve --prot 9", True),
        ("agentcore start", True),
        ("agentcore db", True),
        ("agentcore db downgrade", True),
        ("python3 dev.py run agentcore start", True),
        ("python3 dev.py tset", True),
        ("python3 dev.py", True),
    ],
)
def test_a_command_that_does_not_exist_is_found(command: str, wrong: bool) -> None:
    assert bool(pages.judge(command.split(), {"run", "test"}, planted_cli())) is wrong


def test_a_long_or_toothless_decision_is_found() -> None:
    page = Path("0009-planted.md")
    assert list(pages.weak_decision(page, "Enforced by a test." + " word" * 247))
    assert list(pages.weak_decision(page, "We decided."))
    assert list(pages.weak_decision(page, "Enforced by a test.")) == []
