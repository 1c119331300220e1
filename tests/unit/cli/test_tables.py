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


def test_what_does_not_fit_into_a_narrow_terminal_is_still_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    url = "http://127.0.0.1:8001/envs/a2a_protocol_test"
    show_table([{"name": "a2a_protocol_test", "url": url, "detail": ""}], ("name", "url", "detail"))
    lines = capsys.readouterr().out.splitlines()
    cells = [line.split("│")[2].strip() for line in lines if "│" in line]
    assert "".join(cells) == url


def test_a_column_without_a_cell_takes_no_room(capsys: pytest.CaptureFixture[str]) -> None:
    show_table([{"name": "a", "detail": ""}, {"name": "b"}], ("name", "detail"))
    assert "detail" not in capsys.readouterr().out
    show_table([], ("name", "detail"))
    assert "detail" in capsys.readouterr().out
