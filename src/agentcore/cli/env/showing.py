"""How reports look in a terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from agentcore.cli.env.reports import write
from agentcore.cli.foreign import shown as printable
from agentcore.kit.jsonvalue import JsonObject, dumps

if TYPE_CHECKING:
    from agentcore.training.models import Episode, EvaluationReport, Interval, PairedComparison

UNKNOWN = "–"


@contextmanager
def progress_bar(title: str, total: int) -> Iterator[Callable[[Episode], None]]:
    """A bar on the error output, with the mean so far; nothing where that is no terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[told]}"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=total, told="")
        rewards: list[float] = []

        def advance(episode: Episode) -> None:
            if episode.complete:
                rewards.append(episode.reward)
            told = f"mean {sum(rewards) / len(rewards):.3f}" if rewards else ""
            progress.update(task, advance=1, told=told)

        yield advance


def show_reports(reports: Sequence[EvaluationReport], *, to_errors: bool) -> None:
    """One table for each environment: the leaderboard, and each policy against the first."""
    console = Console(stderr=to_errors)
    for environment, group in groupby(reports, key=lambda report: report.environment):
        played = list(group)
        console.print(_leaderboard(environment, played))
        if len(played) > 1:
            console.print(_comparisons(played))
        for report in played:
            for code, count in report.failures.items():
                told = f"{report.policy}: {count} of {report.episodes} failed: {code}"
                # Its words are the server's or the policy's: shown as they are, never as markup.
                why = printable(report.reasons.get(code, ""))
                console.print(Text(f"{told}: {why}" if why else told))
                if code in report.hints:
                    console.print(Text(f"  hint: {printable(report.hints[code])}"))


def write_json(reports: Sequence[EvaluationReport], path: Path) -> None:
    """``reports``, ``leaderboards`` by environment and ``comparisons`` with the first policy."""
    from agentcore.training.evaluation import leaderboard

    boards: JsonObject = {}
    comparisons: list[object] = []
    for environment, group in groupby(reports, key=lambda report: report.environment):
        played = list(group)
        standings = leaderboard(played)
        boards[environment] = [standing.model_dump(mode="json") for standing in standings]
        comparisons += [
            {"environment": environment, **found.model_dump(mode="json")}
            for found in _against_first(played)
        ]
    content = dumps(
        {
            "reports": [report.model_dump(mode="json") for report in reports],
            "leaderboards": boards,
            "comparisons": comparisons,
        }
    )
    write(content, path)


def _leaderboard(environment: str, reports: Sequence[EvaluationReport]) -> Table:
    from agentcore.training.evaluation import leaderboard

    first = reports[0]
    seeds = f"seeds {first.seeds[0]} to {first.seeds[-1]}"
    table = _table(f"{environment}, {first.episodes} episodes, {seeds}")
    columns = ("", "policy", "reward", "95 % interval", "success", "steps")
    for name in (*columns, "p50 ms", "p95 ms", "failed"):
        table.add_column(name, justify="left" if name == "policy" else "right", no_wrap=True)
    ties, shown = list[str](), set[str]()
    by_name = {report.policy: report for report in reports}
    for standing in leaderboard(reports):
        report = by_name[standing.policy]
        table.add_row(
            str(standing.rank),
            standing.policy,
            _number(standing.mean),
            _span(standing.interval),
            UNKNOWN if standing.success is None else f"{standing.success.mean:.0%}",
            UNKNOWN if report.mean_length is None else f"{report.mean_length:.1f}",
            _milliseconds(report.step_p50),
            _milliseconds(report.step_p95),
            str(standing.failed),
        )
        shown.add(standing.policy)
        ties += [
            f"{standing.policy} – {other}" for other in standing.tied_with if other not in shown
        ]
    if ties:
        table.caption = f"overlapping intervals: {', '.join(ties)}"
    return table


def _comparisons(reports: Sequence[EvaluationReport]) -> Table:
    table = _table(f"against {reports[0].policy}, seed by seed")
    for name in ("policy", "difference", "95 % interval", "won", "lost", "even", "p sign", "p"):
        table.add_column(name, justify="left" if name == "policy" else "right", no_wrap=True)
    for found in _against_first(reports):
        tests = found.tests
        table.add_row(
            found.policy,
            f"{found.difference:+.3f}",
            _span(found.interval),
            str(tests.wins),
            str(tests.losses),
            str(tests.ties),
            _probability(tests.sign_p),
            _probability(tests.permutation_p),
        )
    return table


def _against_first(reports: Sequence[EvaluationReport]) -> Iterator[PairedComparison]:
    """Where nothing was completed in common there is nothing to compare."""
    from agentcore.kit.errors import InvalidInput
    from agentcore.training.evaluation import compare

    for report in reports[1:]:
        try:
            yield compare(report, reports[0])
        except InvalidInput:
            continue


def _table(title: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1),
        collapse_padding=True,
        caption_justify="left",
    )


def _number(value: float | None) -> str:
    """Four digits or more: a table of 80 columns has no room for those that say nothing."""
    if value is None:
        return UNKNOWN
    return f"{value:.{3 if abs(value) < 10 else 2 if abs(value) < 100 else 1}f}"


def _span(interval: Interval | None) -> str:
    return UNKNOWN if interval is None else f"{_number(interval.low)} to {_number(interval.high)}"


def _milliseconds(seconds: float | None) -> str:
    return UNKNOWN if seconds is None else f"{seconds * 1000:.2f}"


def _probability(value: float) -> str:
    return "<0.0001" if value < 0.0001 else f"{value:.4f}"
