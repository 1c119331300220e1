"""Metric names: those the code defines and those that dashboards and alerts ask for."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import yaml

from tests.architecture.source import Source, last_name

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


def _metric_calls(source: Source) -> Iterator[tuple[ast.Call, str]]:
    imported = {
        item.asname or item.name: item.name
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("prometheus_client")
        for item in node.names
    }
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            kind = imported.get(last_name(node.func), "")
            if kind in SUFFIXES:
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
