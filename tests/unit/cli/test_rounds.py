from __future__ import annotations

import math
from decimal import Decimal

import pytest

from agentcore.cli.demo.rounds import Bill, interval, read_bill
from agentcore.kit.jsonvalue import JsonObject


def line(kind: str, calls: int, cost: str | None, equivalent: str | None) -> JsonObject:
    return {"kind": kind, "calls": calls, "cost_usd": cost, "api_equivalent_usd": equivalent}


def test_a_bill_adds_what_own_calls_would_have_cost_to_what_api_calls_did() -> None:
    lines: list[JsonObject] = [
        line("self_hosted", 10, "0", "1.50"),
        line("self_hosted", 5, "0.10", None),
        line("api", 4, "0.40", "9.99"),
    ]
    bill = read_bill({"lines": list(lines)})
    assert bill == Bill(
        self_hosted=15, api=4, cost_usd=Decimal("0.50"), api_equivalent_usd=Decimal("1.90")
    )
    assert bill.requests == 19
    assert bill.minus(bill) == Bill(cost_usd=Decimal("0.00"), api_equivalent_usd=Decimal("0.00"))


def test_an_interval_narrows_with_the_episodes() -> None:
    few, many = [1.0, 3.0] * 3, [1.0, 3.0] * 60
    assert interval(few) > interval(many) > 0
    # Student's t with 4 degrees of freedom: 2.78 * s / sqrt(5).
    assert interval([1, 2, 3, 4, 5]) == pytest.approx(1.965, abs=0.01)
    assert math.isnan(interval([1.0]))
