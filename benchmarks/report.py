"""Results as a table, as JSON, and as a picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Figures = dict[str, dict[str, Any]]
# What the gateway promises; the same numbers are in docs/how-to/benchmark.md.
GOALS: tuple[tuple[str, str, float, Callable[[Figures, Figures], float]], ...] = (
    ("CPU per request, c16", "us", 180.0, lambda own, _: own["c16"]["cpu_us"]),
    ("CPU per request, 64 kB", "us", 260.0, lambda own, _: own["64k"]["cpu_us"]),
    ("added p50, c1", "ms", 0.25, lambda own, up: own["c1"]["p50_ms"] - up["c1"]["p50_ms"]),
    ("added p99, c1", "ms", 0.50, lambda own, up: own["c1"]["p99_ms"] - up["c1"]["p99_ms"]),
    (
        "added time to first content, c1",
        "ms",
        0.8,
        lambda own, up: own["stream1"]["p50_ms"] - up["stream1"]["p50_ms"],
    ),
    (
        "added time to first content, c16",
        "ms",
        2.0,
        lambda own, up: own["stream16"]["p50_ms"] - up["stream16"]["p50_ms"],
    ),
)

COLUMNS: tuple[str, ...] = (
    "target",
    "c1 p50/p99 ms",
    "x direct",
    "c16 req/s",
    "CPU us/req",
    "64k CPU us",
    "open500 p50/p99 ms",
    "first content c1/c16 ms",
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
    return "\n".join([*lines, "", *goals(report)])


def goals(report: dict[str, Any]) -> list[str]:
    by_name = {result["target"]: result["scenarios"] for result in report["results"]}
    own, upstream = by_name.get("agentcore"), by_name["direct"]
    if own is None:
        return []
    lines = []
    for name, unit, limit, value_of in GOALS:
        value = value_of(own, upstream)
        verdict = "kept" if value <= limit else "MISSED"
        lines.append(f"{name}: {value:.3g} {unit}, goal {limit:g} {unit}: {verdict}")
    return lines


def save(report: dict[str, Any], folder: Path, suite: str = "gateway") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    stamp = report["at"].replace(":", "").replace("-", "")[:15]
    path = folder / f"{suite}-{stamp}.json"
    path.write_text(json.dumps(report, indent=2) + "\n")
    return path


def plot(report: dict[str, Any], path: Path) -> None:
    # Half a second to import, and only for the picture.
    from matplotlib.figure import Figure  # noqa: PLC0415 - see above

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
        _cpu(at["c16"]),
        _cpu(at["64k"]),
        f"{at['open500']['p50_ms']:.2f}/{at['open500']['p99_ms']:.2f}",
        f"{at['stream1']['p50_ms']:.2f}/{at['stream16']['p50_ms']:.2f}",
        f"{result['rss_mib']:.0f}" if result["rss_mib"] else "-",
        str(sum(each["errors"] for each in at.values())),
    )


def _cpu(measured: dict[str, Any]) -> str:
    return "-" if measured["cpu_us"] is None else f"{measured['cpu_us']:.0f}"
