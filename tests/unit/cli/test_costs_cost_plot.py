"""Tests of cli/costs.py and cli/cost_plot.py; the commands themselves run in tests/integration."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from PIL import Image

from agentcore.cli.cost_plot import FEWEST_MONTHS, MOST_MONTHS, draw, shown_months
from agentcore.cli.costs import report
from agentcore.cli.main import run
from agentcore.llm_gateway.cost_analyzer import NEVER, Appraisal, Investment, Observed, appraise

L4 = Investment(nodes=4, upfront_per_node=Decimal(2000), monthly_hosting_per_node=Decimal(50))


def appraised(saved: int) -> Appraisal:
    return appraise(Observed(days=73, saved_usd=Decimal(saved), api_usd=Decimal("12.5")), L4)


def test_an_appraisal_in_words() -> None:
    assert report(appraised(2000)) == [
        "observed 73 days: spent $12.50, saved $2,000.00 by own hardware",
        "a month: $833.33 saved, less $200.00 for hosting 4 nodes, is $633.33",
        "break-even of $8,000.00 upfront: after 12.6 months",
        "return on investment, by years: -5 % in 1, 90 % in 2, 185 % in 3",
    ]
    words = report(appraised(0))
    assert words[1].endswith("is -$200.00")
    assert words[2].endswith("never at this traffic")


@pytest.mark.parametrize("saved", [0, 2000])
def test_a_picture_is_drawn(tmp_path: Path, saved: int) -> None:
    path = tmp_path / "roi.png"
    days = {date(2026, 1, 1) + timedelta(days=n): Decimal(n) for n in range(40)}
    draw(appraised(saved), days, path)
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert picture.width > 800


@pytest.mark.parametrize(
    ("break_even", "months"),
    [(NEVER, FEWEST_MONTHS), (1, FEWEST_MONTHS), (40, 61), (500, MOST_MONTHS)],
)
def test_as_many_months_are_shown_as_say_something(break_even: Decimal, months: int) -> None:
    assert shown_months(Decimal(break_even)) == months


def test_hardware_that_nobody_knows_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["costs", "--roi", "--gpu", "abacus"]) == 1
    assert "known are nvidia_l4, apple_m2_max" in capsys.readouterr().err
