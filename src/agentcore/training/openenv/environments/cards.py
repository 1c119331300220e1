"""Pictures of an environment's state: facts and tables on a card, as PNG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

WIDTH, MARGIN = 760, 24
HEADER, HEADING, ROW = 84, 40, 26
MOST_ROWS = 10
TEXT, FAINT, LINE = "#1d2433", "#667085", "#e4e7ec"
PAPER, BAND, TRACK, FILL = "#ffffff", "#1f3a5f", "#e9eef5", "#4b82c3"
GOOD, BAD = "#1a7f4b", "#b42318"


@dataclass(frozen=True, slots=True)
class Bar:
    """A number as the filled part of a track; ``share`` is from 0 to 1."""

    share: float
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """A word that is good or bad news."""

    text: str
    good: bool


Cell = str | Bar | Verdict


@dataclass(frozen=True, slots=True)
class Table:
    """``columns`` maps each title to its share of the width; what no longer fits is counted."""

    heading: str
    columns: Mapping[str, int]
    rows: Sequence[Sequence[Cell]]

    @property
    def height(self) -> int:
        lines = 1 + min(len(self.rows), MOST_ROWS) + (len(self.rows) > MOST_ROWS or not self.rows)
        return HEADING + ROW * lines


def card(title: str, facts: Mapping[str, object], *tables: Table) -> bytes:
    """A PNG that reads from top to bottom: title, facts, tables."""
    from PIL import Image, ImageDraw

    height = HEADER + sum(table.height for table in tables) + MARGIN
    image = Image.new("RGB", (WIDTH, height), PAPER)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, WIDTH, HEADER - 8), fill=BAND)
    draw.text((MARGIN, 14), title, font=_font(24), fill=PAPER)
    line = "     ".join(f"{name} {value}" for name, value in facts.items())
    draw.text((MARGIN, 48), _fitting(line, 15, WIDTH - 2 * MARGIN), font=_font(15), fill=PAPER)
    top = HEADER
    for table in tables:
        _draw_table(draw, table, top)
        top += table.height
    written = io.BytesIO()
    # A palette makes the file four times smaller, and writing it faster.
    palette = image.quantize(64, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    palette.save(written, "PNG")
    return written.getvalue()


def _draw_table(draw: ImageDraw, table: Table, top: int) -> None:
    draw.text((MARGIN, top + 10), table.heading, font=_font(17), fill=TEXT)
    edges = _edges(table.columns)
    top += HEADING
    for title, (left, _) in zip(table.columns, edges, strict=True):
        draw.text((left, top), title, font=_font(13), fill=FAINT)
    for row in table.rows[:MOST_ROWS]:
        top += ROW
        draw.line((MARGIN, top - 4, WIDTH - MARGIN, top - 4), fill=LINE)
        for cell, (left, right) in zip(row, edges, strict=True):
            _draw_cell(draw, cell, (left, top, right - 10))
    more = len(table.rows) - MOST_ROWS
    if more > 0 or not table.rows:
        text = f"and {more} more" if more > 0 else "none"
        draw.text((MARGIN, top + ROW), text, font=_font(14), fill=FAINT)


def _edges(columns: Mapping[str, int]) -> list[tuple[int, int]]:
    whole, left = sum(columns.values()), 0
    edges = []
    for share in columns.values():
        right = left + share
        span = WIDTH - 2 * MARGIN
        edges.append((MARGIN + span * left // whole, MARGIN + span * right // whole))
        left = right
    return edges


def _draw_cell(draw: ImageDraw, cell: Cell, place: tuple[int, int, int]) -> None:
    left, top, right = place
    if isinstance(cell, Bar):
        end = left + round((right - left - 44) * min(1.0, max(0.0, cell.share)))
        draw.rectangle((left, top + 4, right - 44, top + 14), fill=TRACK)
        if end > left:
            draw.rectangle((left, top + 4, end, top + 14), fill=FILL)
        left, cell = right - 36, cell.text
    colour = TEXT
    if isinstance(cell, Verdict):
        colour, cell = (GOOD if cell.good else BAD), cell.text
    draw.text((left, top), _fitting(cell, 14, right - left), font=_font(14), fill=colour)


def _fitting(text: str, size: int, width: int) -> str:
    """``text`` as far as it fits, with an ellipsis where it does not."""
    if _font(size).getlength(text) <= width:
        return text
    while text and _font(size).getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


@cache
def _font(size: int) -> FreeTypeFont:
    """The font that Pillow brings along: the same on every machine."""
    from PIL import ImageFont

    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError("Pillow was built without FreeType")
    return font
