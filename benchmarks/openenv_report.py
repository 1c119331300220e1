"""The results of ``benchmarks.openenv`` as a table and as a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Report = dict[str, Any]
COLUMNS = (
    "client on server",
    "sessions",
    "steps/s",
    "p50 ms",
    "p95 ms",
    "client CPU us",
    "server CPU us",
    "connect+reset ms",
)
# The same numbers are in docs/how-to/play-an-environment.md.
GOALS: tuple[tuple[str, str, str, Callable[[float], bool], str], ...] = (
    ("steps/s, our pair to upstream's", "pair", "steps", lambda ratio: ratio >= 2.0, ">= 2"),
    ("p50, our pair to upstream's", "pair", "p50", lambda ratio: ratio <= 0.6, "<= 0.6"),
    ("CPU, our pair to upstream's", "pair", "cpu", lambda ratio: ratio <= 0.6, "<= 0.6"),
    ("steps/s on upstream's server, our client", "client", "steps", lambda r: r >= 1.0, ">= 1"),
    ("CPU on upstream's server, our client", "client", "cpu", lambda r: r <= 1.0, "<= 1"),
)
SCALING_COLUMNS = (
    "step_many, 64 sessions",
    "servers",
    "steps/s",
    "of what they can do",
    "client CPU us",
    "server CPU us",
)
# Of what servers could do if each had its next step at once.
LEAST_SHARE = 0.85


def table(report: Report) -> str:
    rows: list[tuple[str, ...]] = [COLUMNS]
    for name, figures in report["pairs"].items():
        rows += [_row(name, sessions, measured) for sessions, measured in figures.items()]
    scaling = [SCALING_COLUMNS, *map(_scaling_row, report["scaling"])]
    return "\n".join([*aligned(rows), "", *aligned(scaling), "", *goals(report)])


def aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]


def goals(report: Report) -> list[str]:
    lines = []
    for label, whose, key, kept, goal in GOALS:
        for sessions, ratios in report["ratios"].items():
            value = ratios[whose][key]
            verdict = "kept" if kept(value) else "MISSED"
            lines.append(f"{label}, {sessions}: {value:.2f}, goal {goal}: {verdict}")
    # With few sessions both ends mostly fall asleep and wake up.
    most = max(report["ratios"], key=int)
    ends = report["ratios"][most]["pair"]["ends"]
    verdict = "kept" if ends < 1.0 else "MISSED"
    lines.append(f"CPU of our client to our server's, {most}: {ends:.2f}, goal < 1: {verdict}")
    for each in report["scaling"]:
        if each["share"] is not None:
            verdict = "kept" if each["share"] >= LEAST_SHARE else "MISSED"
            lines.append(
                f"step_many, share of what {each['replicas']} servers can do: "
                f"{each['share']:.2f}, goal >= {LEAST_SHARE}: {verdict}"
            )
    for when, resident in report["rss_mib"].items():
        ours, theirs = resident["agentcore"], resident["official"]
        verdict = "kept" if ours <= 0.4 * theirs else "MISSED"
        share = f"{ours:.0f} of {theirs:.0f} MiB = {ours / theirs:.2f}"
        if not report["whole"]:
            verdict = (
                "not judged: upstream's has no browser page here; --upstream names one that has"
            )
        lines.append(f"server RSS, {when}: {share}, goal <= 0.4: {verdict}")
    return lines


def plot(report: Report, path: Path) -> None:
    from matplotlib.figure import Figure  # noqa: PLC0415 - half a second, for the picture alone

    figure = Figure(figsize=(10, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    colors = {"agentcore on agentcore": "#3b6ea5", "official on official": "#a55b3b"}
    for at, (name, figures) in enumerate(report["pairs"].items()):
        where = [place + 0.2 * (at - 1.5) for place in range(len(figures))]
        color = colors.get(name, ("#8fb0d0", "#d0a890")[at % 2])
        for axes, key in ((left, "per_second"), (right, "p50_ms")):
            heights = [measured[key] for measured in figures.values()]
            axes.bar(where, heights, width=0.18, label=name, color=color)
    for axes, label in ((left, "steps per second"), (right, "p50 of a step in milliseconds")):
        sessions = next(iter(report["pairs"].values()))
        axes.set_xticks(range(len(sessions)), [f"{count} sessions" for count in sessions])
        axes.set_ylabel(label)
    right.set_yscale("log")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, title="client on server", loc="outside lower center", ncols=4)
    figure.suptitle(f"Environment steps, {report['at'][:10]}, {report['machine']['cores']} cores")
    figure.savefig(path, dpi=120)


def _scaling_row(scaling: dict[str, Any]) -> tuple[str, ...]:
    share = scaling["share"]
    return (
        scaling["environment"],
        str(scaling["replicas"]),
        f"{scaling['per_second']:,.0f}",
        "" if share is None else f"{share:.2f} of {scaling['ideal']:,.0f}",
        f"{scaling['client_cpu_us']:.0f}",
        f"{scaling['server_cpu_us']:.0f}",
    )


def _row(name: str, sessions: str, measured: dict[str, Any]) -> tuple[str, ...]:
    return (
        name,
        sessions,
        f"{measured['per_second']:,.0f}",
        f"{measured['p50_ms']:.3f}",
        f"{measured['p95_ms']:.3f}",
        f"{measured['client_cpu_us']:.0f}",
        f"{measured['server_cpu_us']:.0f}",
        f"{measured['connect_ms']:.1f}",
    )
