"""How a conformance report looks in a terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from agentcore.cli.env.reports import write
from agentcore.cli.foreign import shown
from agentcore.kit.jsonvalue import dumps

if TYPE_CHECKING:
    from agentcore.training.openenv.conformance.judging import Check
    from agentcore.training.openenv.conformance.models import Outcome, Report, Result

STYLES: dict[Outcome, str] = {
    "pass": "green",
    "fail": "bold red",
    "warn": "yellow",
    "skipped": "dim",
}
LINES_SHOWN = 6
LONGEST_NAME = 120


@contextmanager
def watching(total: int) -> Iterator[Callable[[Check, Result | None], None]]:
    """A bar with the check that runs, on the error output; nothing where that is no terminal."""
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, disable=not console.is_terminal, transient=True
    ) as progress:
        task = progress.add_task("connecting", total=total)

        def watch(check: Check, result: Result | None) -> None:
            progress.update(task, description=check.title, advance=0 if result is None else 1)

        yield watch


def show_report(report: Report, again: str, *, strict: bool, to_errors: bool) -> None:
    """All checks, then what did not pass: what was expected, what came, how to see it ``again``."""
    console = Console(stderr=to_errors, highlight=False)
    console.print(_table(report))
    for result in report.results:
        if result.outcome in {"fail", "warn"}:
            _explain(console, report, result, again)
    console.print(_summary(report, strict=strict))


def write_report(report: Report, path: Path) -> None:
    content = dumps(
        {**report.model_dump(mode="json"), "counts": report.counts, "passed": report.passed}
    )
    write(content, path)


def _table(report: Report) -> Table:
    # Names of servers are texts, never markup; what steers a terminal in them is escaped.
    name = f"{report.environment or 'unnamed'} {report.version}".strip()
    title = Text(shown(name, most=LONGEST_NAME), "bold")
    table = Table(title=title, box=box.SIMPLE, title_justify="left")
    table.add_column("")
    table.add_column("check", no_wrap=True)
    table.add_column("asks that")
    for result in report.results:
        what = Text(result.title)
        if result.reason:
            what.append(f"\n{shown(result.reason)}", "dim")
        style = STYLES[result.outcome]
        table.add_row(Text(result.outcome, style), Text(result.id, style), what)
    return table


def _explain(console: Console, report: Report, result: Result, again: str) -> None:
    grade = f"{result.outcome} {result.id}"
    console.print(Text.assemble((grade, STYLES[result.outcome]), f"  {result.title}"))
    rows = Table.grid(padding=(0, 1))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(no_wrap=True)
    rows.add_column(overflow="fold")
    rows.add_row("section", "", Text(f"{result.section} ({result.severity})"))
    rows.add_row("expected", "", Text(shown(result.expected)))
    rows.add_row("got", "", Text(shown(result.got)))
    # The report as JSON has more of them.
    for number, line in enumerate(result.reproduce[-LINES_SHOWN:]):
        direction, _, text = line.partition(" ")
        rows.add_row("" if number else "on the wire", direction, Text(shown(text)))
    rows.add_row("again", "", Text(f"{again} --only {result.id} --seed {report.seed}"))
    console.print(Padding(rows, (0, 0, 1, 2)))


def _summary(report: Report, *, strict: bool) -> Text:
    counts = report.counts
    good = report.passed and not (strict and counts["warn"])
    verdict = ("passed", "bold green") if good else ("failed", "bold red")
    named = {"pass": "passed", "fail": "failed", "warn": "warned", "skipped": "skipped"}
    told = ", ".join(f"{counts[outcome]} {named[outcome]}" for outcome in STYLES)
    return Text.assemble(verdict, f": {told}, in {report.seconds:.1f} s")
