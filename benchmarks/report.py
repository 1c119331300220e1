"""Results as a table, as JSON, and as a picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Figures = dict[str, dict[str, dict[str, Any]]]


@dataclass(frozen=True)
class Goal:
    """What the gateway promises; the same numbers are in docs/how-to/benchmark.md.

    ``value`` is None where what it needs was not measured.
    """

    name: str
    unit: str
    limit: float
    value: Callable[[Figures], float | None]
    at_least: bool = False

    def told(self, figures: Figures) -> str:
        value = self.value(figures)
        goal = f"goal {'at least ' if self.at_least else ''}{self.limit:g} {self.unit}"
        if value is None:
            return f"{self.name}: {goal}: not measured"
        kept = value >= self.limit if self.at_least else value <= self.limit
        return f"{self.name}: {value:.3g} {self.unit}, {goal}: {'kept' if kept else 'MISSED'}"


def _own(scenario: str, figure: str) -> Callable[[Figures], float | None]:
    return lambda figures: _figure(figures, "agentcore", scenario, figure)


def _added(scenario: str, figure: str) -> Callable[[Figures], float | None]:
    """Beyond what the same takes without a gateway."""

    def value(figures: Figures) -> float | None:
        own = _figure(figures, "agentcore", scenario, figure)
        direct = _figure(figures, "direct", scenario, figure)
        return None if own is None or direct is None else own - direct

    return value


def _cpu_ratio(over: str, under: str) -> Callable[[Figures], float | None]:
    """Of CPU per request at 16 connections; the inverse of requests per second of one core."""

    def value(figures: Figures) -> float | None:
        above, below = (_figure(figures, name, "c16", "cpu_us") for name in (over, under))
        return None if above is None or not below else above / below

    return value


def _figure(figures: Figures, target: str, scenario: str, figure: str) -> float | None:
    value = figures.get(target, {}).get(scenario, {}).get(figure)
    return None if value is None else float(value)


GOALS = (
    Goal("CPU per request, c16", "us", 180.0, _own("c16", "cpu_us")),
    Goal("CPU per request, 64 kB", "us", 260.0, _own("64k", "cpu_us")),
    Goal("CPU, x the bare pass-through", "x", 1.4, _cpu_ratio("agentcore", "starlette+aiohttp")),
    Goal("requests per core, x LiteLLM", "x", 35.0, _cpu_ratio("litellm", "agentcore"), True),
    Goal("requests per core, x Portkey", "x", 3.5, _cpu_ratio("portkey", "agentcore"), True),
    Goal("requests per core, x TensorZero", "x", 0.6, _cpu_ratio("tensorzero", "agentcore"), True),
    Goal("added p50, c1", "ms", 0.25, _added("c1", "p50_ms")),
    Goal("added p99, c1", "ms", 0.50, _added("c1", "p99_ms")),
    Goal("added time to first content, c1", "ms", 0.8, _added("stream1", "p50_ms")),
    Goal("added time to first content, c16", "ms", 2.0, _added("stream16", "p50_ms")),
    Goal("added delay per chunk, p99, c16", "ms", 1.5, _added("stream16", "delay_p99_ms")),
)

COLUMNS: tuple[str, ...] = (
    "target",
    "c1 p50/p99 ms",
    "x direct",
    "c16 req/s",
    "CPU us/req",
    "64k CPU us",
    "open500 p50/p99 ms",
    "c64 p50/p99 ms",
    "first content c1/c16 ms",
    "chunk p99 ms",
    "CPU us/stream",
    "RSS MiB",
    "errors",
)


def table(report: dict[str, Any]) -> str:
    rows = [COLUMNS]
    rows += [_row(result, report) for result in report["results"]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    load = " to ".join(f"{each:g}" for each in report["machine"].get("load", ()))
    return "\n".join([*lines, "", f"load of the machine: {load or 'unknown'}", *goals(report)])


def goals(report: dict[str, Any]) -> list[str]:
    figures: Figures = {each["target"]: each["scenarios"] for each in report["results"]}
    return [goal.told(figures) for goal in GOALS] if "agentcore" in figures else []


def save(report: dict[str, Any], folder: Path, suite: str = "gateway") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    stamp = report["at"].replace(":", "").replace("-", "")[:15]
    path = folder / f"{suite}-{stamp}.json"
    path.write_text(json.dumps(report, indent=2) + "\n")
    return path


def plot(report: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure  # noqa: PLC0415 - half a second, for the picture alone

    results = [each for each in report["results"] if each["target"] != "direct"]
    names = [each["target"] for each in results]
    direct = next(each for each in report["results"] if each["target"] == "direct")["scenarios"]
    figure = Figure(figsize=(10, 0.6 * len(names) + 2))
    left, right = figure.subplots(1, 2)
    left.barh(names, [each["scenarios"]["c16"]["cpu_us"] for each in results], color="#3b6ea5")
    left.set_xlabel("CPU per request in microseconds, 16 connections")
    added = [each["scenarios"]["c1"]["p50_ms"] - direct["c1"]["p50_ms"] for each in results]
    right.barh(names, added, color="#a55b3b")
    right.set_xlabel("added latency in milliseconds, p50, 1 connection")
    for axes in (left, right):
        axes.invert_yaxis()
        if len(names) > 2:
            axes.set_xscale("log")
    figure.suptitle(f"Gateway overhead, {report['at'][:10]}, {report['machine']['cores']} cores")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def _row(result: dict[str, Any], report: dict[str, Any]) -> tuple[str, ...]:
    direct = next(each for each in report["results"] if each["target"] == "direct")["scenarios"]
    at = result["scenarios"]
    return (
        result["target"],
        f"{at['c1']['p50_ms']:.3f}/{at['c1']['p99_ms']:.3f}",
        f"{at['c1']['p50_ms'] / direct['c1']['p50_ms']:.1f}",
        f"{at['c16']['per_second']:,.0f}",
        _told(at["c16"]["cpu_us"], ".0f"),
        _told(at["64k"]["cpu_us"], ".0f"),
        f"{at['open500']['p50_ms']:.2f}/{at['open500']['p99_ms']:.2f}",
        f"{at['c64']['p50_ms']:.1f}/{at['c64']['p99_ms']:.1f}",
        f"{at['stream1']['p50_ms']:.2f}/{at['stream16']['p50_ms']:.2f}",
        _told(at["stream16"].get("delay_p99_ms"), ".2f"),
        _told(at["stream16"]["cpu_us"], ".0f"),
        f"{result['rss_mib']:.0f}" if result["rss_mib"] else "-",
        str(sum(each["errors"] for each in at.values())),
    )


def _told(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
