from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agentcore.llm_gateway.budgets.models import (
    EVER,
    Budget,
    BudgetScope,
    BudgetTerms,
    Period,
    period_end,
    period_start,
    portion,
)


@pytest.mark.parametrize(
    ("period", "start", "end"),
    [
        ("day", datetime(2026, 12, 31, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
        ("month", datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
        ("total", EVER, None),
    ],
)
def test_periods_begin_at_midnight_in_utc(
    period: Period, start: datetime, end: datetime | None
) -> None:
    now = datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    assert period_start(period, now) == start
    assert period_end(period, start) == end


@given(st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - hypothesis adds the zone
def test_a_moment_is_in_its_period_and_the_next_begins_where_it_ends(now: datetime) -> None:
    periods: tuple[Period, ...] = ("day", "month")
    for period in periods:
        start = period_start(period, now)
        end = period_end(period, start)
        assert end is not None
        assert start <= now < end
        assert period_start(period, end) == end


MONEY = st.decimals(0, 10_000, places=6)


@given(available=st.decimals(-100, 10_000, places=6), need=MONEY, chunk=MONEY)
def test_nobody_gets_more_than_there_is_nor_less_than_needed(
    available: Decimal, need: Decimal, chunk: Decimal
) -> None:
    given_ = portion(available, need, chunk)
    if need > available:
        assert given_ == 0
    else:
        assert need <= given_ <= min(available, need + chunk)
        # Something stays for the others.
        assert available - given_ >= (available - need) / 2


@pytest.mark.parametrize(
    ("scope", "target", "whose"), [("tenant", "", "tenant 'acme'"), ("key", "k1", "key 'k1'")]
)
def test_it_says_whose_it_is(scope: BudgetScope, target: str, whose: str) -> None:
    budget = Budget(UUID(int=1), "acme", scope, target, "day", Decimal(1), hard=True)
    assert budget.whose == whose


@pytest.mark.parametrize(
    "wrong",
    [
        {"scope": "tenant", "target": "x"},
        {"scope": "key"},
        {"limit_usd": "-1"},
        {"limit_usd": "NaN"},
        {"alert_share": 0},
        {"alert_share": "1.1"},
        {"period": "week"},
        {"target": "a\x00", "scope": "agent"},
    ],
    ids=str,
)
def test_terms_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        BudgetTerms.model_validate({"scope": "tenant", "period": "day", "limit_usd": 1, **wrong})
