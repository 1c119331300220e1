from __future__ import annotations

import pytest

from agentcore.cli.tables import cell_text, show_table
from agentcore.kit.jsonvalue import JsonValue


def test_rows_are_shown_by_column(capsys: pytest.CaptureFixture[str]) -> None:
    show_table([{"name": "a", "tags": ["x", "y"], "url": None}], ("name", "tags", "url"))
    shown = capsys.readouterr().out
    assert "x, y" in shown
    assert "None" not in shown


@pytest.mark.parametrize(("value", "text"), [(None, ""), (1.5, "1.5"), ([1, [2]], "1, 2")])
def test_cells(value: JsonValue, text: str) -> None:
    assert cell_text(value) == text


def test_foreign_names_are_neither_markup_nor_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    show_table([{"name": "[red]a\x1b[2J\0"}], ("name",))
    assert "[red]a\\x1b[2J\\x00" in capsys.readouterr().out
