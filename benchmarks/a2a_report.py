"""The results of ``benchmarks.a2a`` as a table and as a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.openenv_report import aligned

Report = dict[str, Any]
OURS, THEIRS = "agentcore", "a2a-sdk"
COLUMNS = ("scenario", "server", "a second", "p50 ms", "p95 ms", "p99 ms", "CPU ms each", "errors")
EACH = {
    "c1": "sends, 1 client",
    "c16": "sends, 16 clients",
    "c64": "sends, 64 clients",
    "chunks": "tasks of 400 chunks",
    "fan": "events to 1000 followers",
}


class Goal(NamedTuple):
    """The same numbers are in docs/how-to/benchmark.md."""

    name: str
    value: Callable[[Report], float]
    limit: float
    at_least: bool = False

    def told(self, report: Report) -> str:
        value = self.value(report)
        kept = value >= self.limit if self.at_least else value < self.limit
        sign = ">=" if self.at_least else "<"
        verdict = "kept" if kept else "MISSED"
        return f"{self.name}: {value:.3g}, goal {sign} {self.limit:g}: {verdict}"


def _ratio(report: Report, scenario: str, figure: str) -> float:
    ours, theirs = (report["servers"][name][scenario][figure] for name in (OURS, THEIRS))
    return float(ours / theirs)


GOALS = (
    Goal(
        "tasks a second at 64 clients, x the SDK's server",
        lambda report: _ratio(report, "c64", "per_second"),
        2.0,
        at_least=True,
    ),
    Goal(
        "CPU ms of a task of 400 streamed chunks",
        lambda report: float(report["servers"][OURS]["chunks"]["cpu_ms"]),
        100.0,
    ),
    Goal(
        "ms from an event to 1000 followers, p95",
        lambda report: float(report["servers"][OURS]["fan"]["p95_ms"]),
        50.0,
    ),
)


def table(report: Report) -> str:
    rows: list[tuple[str, ...]] = [COLUMNS]
    for scenario in report["servers"][OURS]:
        rows += [_row(scenario, name, each[scenario]) for name, each in report["servers"].items()]
    load = " to ".join(f"{each:g}" for each in report["machine"]["load"])
    resident = ", ".join(f"{name} {mib:.0f} MiB" for name, mib in report["rss_mib"].items())
    return "\n".join(
        [*aligned(rows), "", f"load of the machine: {load}; {resident}", "", *verdicts(report)]
    )


def verdicts(report: Report) -> list[str]:
    scenarios = report["servers"][OURS]
    return [
        *(_compared(report, scenario) for scenario in scenarios),
        *(goal.told(report) for goal in GOALS),
    ]


def _compared(report: Report, scenario: str) -> str:
    figures = {"a second": "per_second", "p50": "p50_ms", "p99": "p99_ms", "CPU": "cpu_ms"}
    told = [f"{name} {_ratio(report, scenario, key):.2f}" for name, key in figures.items()]
    return f"{EACH[scenario]}, x the SDK's server: {', '.join(told)}"


def plot(report: Report, path: Path) -> None:
    from matplotlib.figure import Figure  # noqa: PLC0415 - half a second, for the picture alone

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    sends = [name for name in report["servers"][OURS] if name.startswith("c") and name != "chunks"]
    for at, (name, color) in enumerate(((OURS, "#3b6ea5"), (THEIRS, "#a55b3b"))):
        measured = report["servers"][name]
        where = [place + 0.4 * at for place in range(len(sends))]
        heights = [measured[scenario]["per_second"] for scenario in sends]
        left.bar(where, heights, width=0.38, label=name, color=color)
        right.bar([at], [measured["chunks"]["cpu_ms"]], width=0.6, color=color)
    left.set_xticks(range(len(sends)), [EACH[scenario] for scenario in sends])
    left.set_ylabel("tasks per second")
    left.legend()
    right.set_xticks([0, 1], [OURS, THEIRS])
    right.set_ylabel("CPU ms of a task of 400 chunks")
    right.set_yscale("log")
    figure.suptitle(f"A2A tasks, {report['at'][:10]}, {report['machine']['cores']} cores")
    figure.savefig(path, dpi=120)


def _row(scenario: str, name: str, measured: dict[str, Any]) -> tuple[str, ...]:
    return (
        EACH[scenario],
        name,
        f"{measured['per_second']:,.0f}"
        if measured["per_second"] > 10
        else f"{measured['per_second']:.2f}",
        f"{measured['p50_ms']:.1f}",
        f"{measured['p95_ms']:.1f}",
        f"{measured['p99_ms']:.1f}",
        f"{measured['cpu_ms']:.3g}",
        str(measured["errors"]),
    )
