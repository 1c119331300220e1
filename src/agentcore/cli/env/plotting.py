"""Rewards as a picture, by matplotlib where it is installed."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from agentcore.training.errors import PlotUnavailable
from agentcore.training.estimates import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from agentcore.training.models import EvaluationReport

COLOURS = ("#3465a4", "#c4582b", "#4e9a06", "#75507b", "#8f5902", "#2a8a8a")
# Each point of the band is a bootstrap of its own.
MOST_STEPS, RESAMPLES = 60, 300


def require_matplotlib() -> None:
    """Raise ``PlotUnavailable`` before anything is played for a picture that cannot be drawn."""
    if find_spec("matplotlib") is None:
        raise PlotUnavailable(
            "plots need matplotlib, which is not installed", hint="pip install 'agentcore[plots]'"
        )


def draw(reports: Sequence[EvaluationReport], path: Path) -> None:
    """A PNG with one panel per environment: rewards by seed, means and their intervals."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [list(group) for _, group in groupby(reports, key=lambda each: each.environment)]
    figure = Figure(figsize=(9, 4.2 * len(panels)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(panels), 1, squeeze=False)
    for place, played in enumerate(panels):
        _panel(axes[place][0], played)
    figure.savefig(path, format="png", dpi=110)


def _panel(axes: Axes, reports: Sequence[EvaluationReport]) -> None:
    from matplotlib.ticker import MaxNLocator

    for number, report in enumerate(reports):
        _policy(axes, report, COLOURS[number % len(COLOURS)])
    first = reports[0]
    axes.set_title(f"{first.environment}: reward per episode, mean so far, 95 % interval")
    axes.set_xlabel("episodes played (seeds in order)")
    axes.set_ylabel("total reward")
    axes.set_xlim(0.5, max(report.episodes for report in reports) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=True, alpha=0.25)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)


def _policy(axes: Axes, report: EvaluationReport, colour: str) -> None:
    played = [
        (place, reward)
        for place, reward in enumerate(report.rewards, start=1)
        if reward is not None
    ]
    if not played:
        axes.plot([], [], color=colour, label=f"{report.policy}: no episode completed")
        return
    places, rewards = zip(*played, strict=True)
    axes.scatter(places, rewards, s=10, color=colour, alpha=0.45, linewidths=0)
    stride = max(1, len(rewards) // MOST_STEPS)
    ends = [*range(1, len(rewards), stride), len(rewards)]
    means = [sum(rewards[:end]) / end for end in ends]
    spans = [(end, mean_interval(rewards[:end], resamples=RESAMPLES)) for end in ends]
    shown = f"{report.policy}: {means[-1]:.3f}"
    axes.plot([places[end - 1] for end in ends], means, color=colour, linewidth=1.8, label=shown)
    # Of two or three episodes the bootstrap says nothing worth a picture.
    known = [(places[end - 1], span) for end, span in spans if span is not None and end >= 5]
    axes.fill_between(
        [place for place, _ in known],
        [span.low for _, span in known],
        [span.high for _, span in known],
        color=colour,
        alpha=0.16,
        linewidth=0,
    )
