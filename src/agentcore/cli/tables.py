"""Answers of the service as tables, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import typer

from agentcore.cli.foreign import shown
from agentcore.kit.jsonvalue import JsonObject, JsonValue


def show_table(
    rows: Sequence[JsonObject],
    columns: tuple[str, ...],
    headings: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """``headings`` for members whose names are too long or say too little."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    told = [column for column in columns if any(cell_text(row.get(column)) for row in rows)]
    table = Table()
    for column in told or columns:
        # Words, so that a narrow terminal breaks between them. An address that is cut is none: what
        # is too long goes on in the next line.
        table.add_column(headings.get(column) or column.replace("_", " "), overflow="fold")
    # What a row is called by has to be there whole, however narrow the terminal.
    table.columns[0].no_wrap = True
    for row in rows:
        # Texts, never markup: names of foreign servers are among them.
        table.add_row(*(Text(shown(cell_text(row.get(column)))) for column in told))
    Console().print(table)


def cell_text(value: JsonValue) -> str:
    if isinstance(value, list):
        return ", ".join(cell_text(item) for item in value)
    return "" if value is None else str(value)


def echo_json(answer: JsonObject) -> None:
    # Escaped: what foreign texts hold may steer a terminal.
    typer.echo(json.dumps(answer, indent=2))
