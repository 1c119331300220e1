"""Metric names: those the code defines and those that dashboards and alerts ask for."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import yaml

from tests.architecture.source import Located, Source, last_name

SUFFIXES = {
    "Counter": ("_total", "_created"),
    "CounterMetricFamily": ("_total", "_created"),
    "Gauge": ("",),
    "GaugeMetricFamily": ("",),
    "Histogram": ("_bucket", "_sum", "_count", "_created"),
    "HistogramMetricFamily": ("_bucket", "_sum", "_count", "_created"),
    "Summary": ("_sum", "_count", "_created"),
    "SummaryMetricFamily": ("_sum", "_count", "_created"),
    "Info": ("_info",),
    "InfoMetricFamily": ("_info",),
    "Enum": ("",),
}
# What other exporters serve: Prometheus itself, the process collector, Kubernetes.
FOREIGN = ("up", "ALERTS", "process_*", "python_*", "kube_*", "container_*", "node_*")
UNBOUNDED = frozenset(
    {
        "agent",
        "agent_id",
        "api_key",
        "key_id",
        "path",
        "request_id",
        "session_id",
        "subject",
        "task_id",
        "tenant",
        "trace_id",
        "user",
        "user_id",
    }
)
WORDS = frozenset({"and", "or", "unless", "bool", "offset", "inf", "nan", "start", "end", "atan2"})
EXPRESSION_KEYS = frozenset({"expr", "query", "definition"})


def _kinds(source: Source) -> dict[str, str]:
    """Names in a module that make metrics: the library's classes, partials of them, and functions
    that hand their first parameter on as the name."""
    kinds = {
        item.asname or item.name: item.name
        for node in source.nodes
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("prometheus_client")
        for item in node.names
        if item.name in SUFFIXES
    }
    if not kinds:
        return {}
    for node in source.nodes:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and node.value.args:
            kind = kinds.get(last_name(node.value.args[0]))
            if kind and last_name(node.value.func) == "partial":
                kinds |= {last_name(target): kind for target in node.targets}
    return kinds | {
        function.node.name: kinds[last_name(call.func)]
        for function in source.functions
        for call in ast.walk(function.node)
        if isinstance(call, ast.Call)
        and last_name(call.func) in kinds
        and _forwards(function, call)
    }


def _forwards(function: Located, call: ast.Call) -> bool:
    parameters = [each.arg for each in function.node.args.args if each.arg != "self"]
    return bool(parameters and call.args) and last_name(call.args[0]) == parameters[0]


def _metric_calls(source: Source) -> Iterator[tuple[ast.Call, str]]:
    """Calls that make a metric, those inside a forwarding function apart."""
    kinds = _kinds(source)
    if not kinds:
        return
    forwarded = {
        id(call)
        for function in source.functions
        for call in ast.walk(function.node)
        if isinstance(call, ast.Call) and function.node.name in kinds and _forwards(function, call)
    }
    for node in source.nodes:
        if isinstance(node, ast.Call) and id(node) not in forwarded:
            kind = kinds.get(last_name(node.func), "")
            if kind:
                yield node, kind


def _literal(call: ast.Call, position: int, *keywords: str) -> object:
    """The value of a literal argument; None where it is absent or computed."""
    values = [word.value for word in call.keywords if word.arg in keywords]
    values += call.args[position : position + 1]
    try:
        return ast.literal_eval(values[0]) if values else None
    except ValueError:
        return None


def defined(sources: Iterable[Source]) -> set[str]:
    """Sample names as Prometheus stores them."""
    names: set[str] = set()
    for source in sources:
        for call, kind in _metric_calls(source):
            name = _literal(call, 0, "name")
            if isinstance(name, str):
                base = name.removesuffix("_total") if kind.startswith("Counter") else name
                names |= {base + suffix for suffix in SUFFIXES[kind]}
    return names


def unreadable(source: Source) -> Iterator[str]:
    """A metric whose name or labels are computed escapes the other rules."""
    for call, kind in _metric_calls(source):
        if not isinstance(_literal(call, 0, "name"), str):
            yield source.at(call, f"{kind} without a literal name")


def homeless(source: Source) -> Iterator[str]:
    """A metric that is not defined in its package's ``metrics`` module."""
    if source.path.stem != "metrics" and not source.module.startswith("agentcore.observability."):
        for call, kind in _metric_calls(source):
            yield source.at(
                call, f"makes a {kind}: metrics live in {source.path.parent}/metrics.py"
            )


def unbounded_labels(source: Source) -> Iterator[str]:
    for call, kind in _metric_calls(source):
        labels = _literal(call, 2, "labelnames", "labels")
        names = set(labels) if isinstance(labels, list | tuple) else set()
        if names & UNBOUNDED:
            yield source.at(call, f"{kind} has a label per {sorted(names & UNBOUNDED)}")


def asked(expression: str) -> set[str]:
    """Metric names of one PromQL expression or Grafana variable query."""
    text = re.sub(r"\blabel_values\(\s*\w+\s*\)", " ", expression)
    text = re.sub(r"\blabel_values\((.*),\s*\w+\s*\)", r"(\1)", text, flags=re.DOTALL)
    text = re.sub(r'"(?:\\.|[^"\\])*"|' + r"'(?:\\.|[^'\\])*'", " ", text)
    text = re.sub(r"\{[^{}]*\}|\[[^\]]*\]", " ", text.replace("${", "$"))
    text = re.sub(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", text)
    text = re.sub(r"\$\w+\}?", " ", text)
    names = re.finditer(r"(?<![\w.:])[a-zA-Z_:][\w:]*(?!\w|\s*\()", text)
    return {match.group() for match in names if match.group().lower() not in WORDS}


def expressions(document: object) -> Iterator[tuple[str, str]]:
    """Every (key, text) of a dashboard or rule file that holds PromQL; ``record`` included."""
    if isinstance(document, dict):
        for key, value in document.items():
            if isinstance(value, str) and (key in EXPRESSION_KEYS or key == "record"):
                yield key, value
            else:
                yield from expressions(value)
    elif isinstance(document, list):
        for item in document:
            yield from expressions(item)


def monitoring_files(folder: Path) -> list[Path]:
    found = [path for pattern in ("*.json", "*.yml", "*.yaml") for path in folder.rglob(pattern)]
    return sorted(found)


def unknown(path: Path, known: set[str]) -> list[str]:
    """Names that a monitoring file asks for and nobody defines."""
    text = path.read_text(encoding="utf-8")
    documents = [json.loads(text)] if path.suffix == ".json" else list(yaml.safe_load_all(text))
    pairs = [pair for document in documents for pair in expressions(document)]
    recorded = {text for key, text in pairs if key == "record"}
    names = {name for key, text in pairs if key != "record" for name in asked(text)}
    return sorted(
        name
        for name in names - known - recorded
        if not any(fnmatchcase(name, pattern) for pattern in FOREIGN)
    )
