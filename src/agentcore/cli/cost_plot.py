"""Savings as a picture, by matplotlib where it is installed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from agentcore.llm_gateway.cost_analyzer import Appraisal

BLUE, RED, GREEN = "#3465a4", "#c4582b", "#4e9a06"
# Months that are shown: at least, and at most.
FEWEST_MONTHS, MOST_MONTHS = 24, 120


def draw(found: Appraisal, saved: Mapping[date, Decimal], path: Path) -> None:
    """A PNG: what was saved each day, and what comes of it if all goes on so."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 7), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1)
    _observed(above, saved)
    _projected(below, found)
    figure.savefig(path, format="png", dpi=110)


def _observed(axes: Axes, saved: Mapping[date, Decimal]) -> None:
    days = sorted(saved)
    axes.bar([day.isoformat() for day in days], [float(saved[day]) for day in days], color=BLUE)
    axes.set_title("saved each day: API prices less own cost, from the ledger")
    axes.set_ylabel("USD")
    # Thirty dates do not fit beside each other.
    shown = range(0, len(days), max(1, len(days) // 6))
    axes.set_xticks(list(shown), [days[place].isoformat() for place in shown])
    axes.grid(visible=True, axis="y", alpha=0.25)


def _projected(axes: Axes, found: Appraisal) -> None:
    months = range(shown_months(found.break_even_months) + 1)
    axes.plot(
        list(months), [float(found.balance(month)) for month in months], color=BLUE, linewidth=1.8
    )
    axes.axhline(0, color="black", linewidth=0.8)
    if found.break_even_months <= months[-1]:
        place = float(found.break_even_months)
        axes.plot([place], [0], "o", color=GREEN, label=f"break-even after {place:.1f} months")
    else:
        axes.plot([], [], "o", color=RED, label="no break-even in this time")
    nodes, monthly = found.investment.nodes, found.monthly_savings
    axes.set_title(
        f"{nodes} nodes, {found.investment.upfront:,.0f} USD upfront, {monthly:,.2f} USD a month "
        f"as in {found.observed.days} days"
    )
    axes.set_xlabel("months")
    axes.set_ylabel("USD gained")
    axes.grid(visible=True, alpha=0.25)
    axes.legend(loc="best", frameon=False)


def shown_months(break_even: Decimal) -> int:
    """So many that a break-even is seen, if it comes at all soon."""
    wanted = FEWEST_MONTHS if not break_even.is_finite() else int(break_even * 3 / 2) + 1
    return max(FEWEST_MONTHS, min(MOST_MONTHS, wanted))
