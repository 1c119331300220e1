from __future__ import annotations

import io
from decimal import Decimal

from rich.console import Console

from agentcore.cli.demo.report import summary, table
from agentcore.cli.demo.rounds import Bill, Round

BILL = Bill(
    self_hosted=1200, api=420, cost_usd=Decimal("0.132"), api_equivalent_usd=Decimal("0.450")
)


def played(number: int, *rewards: float) -> Round:
    return Round(
        number=number,
        versions=(number, number + 2),
        rewards=rewards,
        quality=0.5,
        violations=3.25,
        bill=BILL,
    )


def test_the_table_fits_a_terminal_of_80_columns() -> None:
    output = io.StringIO()
    Console(file=output, width=80).print(table([played(1, -10.0, -20.0), played(2, 10.0, 21.0)]))
    text = output.getvalue()
    assert "…" not in text
    for shown in ("v1-3", "-15.00", "15.50", "50%", "1200", "420", "$0.132", "$0.450"):
        assert shown in text


def test_the_gain_is_paired_by_episode() -> None:
    lines = summary([played(1, -10.0, -20.0, -30.0), played(2, 1.0, -9.0, -19.0)])
    assert "rose: +11.00 ± 0.00 from round 1 to round 2" in lines[0]
    assert "3240 model calls: 2400 self-hosted, 840 on the API" in lines[1]
    assert "$0.264 spent, $0.636 less" in lines[1]


def test_no_gain_is_not_called_one() -> None:
    lines = summary([played(1, 1.0, 9.0, 1.0), played(2, 9.0, 1.0, 2.0)])
    assert "did not rise measurably" in lines[0]
