from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from agentcore.kit.ids import Ids
from agentcore.llm_gateway.budgets.leases import Lease
from agentcore.llm_gateway.budgets.models import Budget, Drawn

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
BUDGET = Budget(Ids().new(), "acme", "tenant", "", "day", Decimal(10), hard=True)


def opened(granted: Decimal = Decimal(1)) -> Lease:
    lease = Lease.opened(BUDGET, NOW, Ids().new())
    lease.drawn(Drawn(lease.start, granted, BUDGET.limit_usd, Decimal(0), Decimal(0)))
    return lease


def test_a_lease_is_of_one_period() -> None:
    lease = opened()
    assert lease.start == datetime(2026, 1, 10, tzinfo=UTC)
    assert not lease.over(datetime(2026, 1, 10, 23, 59, 59, tzinfo=UTC))
    assert lease.over(datetime(2026, 1, 11, tzinfo=UTC))
    following = lease.following(datetime(2026, 1, 11, tzinfo=UTC))
    assert (following.holder, following.free) == (lease.holder, 0)
    assert following.holding().seq > lease.holding().seq - 1


def test_what_costs_more_than_was_reserved_is_entered_and_owed() -> None:
    lease = opened()
    assert lease.take(Decimal(1))
    lease.settle(Decimal(1), Decimal(3))
    assert lease.free == -2
    assert not lease.take(Decimal(0))
    told = lease.holding()
    assert (told.granted, told.spent) == (3, 3)


def test_what_is_owed_takes_nothing_from_calls_under_way() -> None:
    lease = opened(Decimal(2))
    assert lease.take(Decimal(1))
    assert lease.take(Decimal(1))
    lease.settle(Decimal(1), Decimal(3))
    told = lease.holding()
    assert (told.granted, told.spent) == (4, 3)


def test_what_is_not_needed_is_given_back_but_for_a_reserve() -> None:
    lease = opened()
    assert lease.take(Decimal("0.2"))
    lease.settle(Decimal("0.2"), Decimal("0.1"))
    assert lease.take(Decimal("0.3"))
    lease.shrink(keep=Decimal("0.25"))
    assert (lease.granted, lease.free) == (Decimal("0.65"), Decimal("0.25"))
    lease.shrink(keep=Decimal(5))
    assert lease.granted == Decimal("0.65")


def test_only_news_are_to_be_told() -> None:
    lease = opened()
    assert lease.take(Decimal(1))
    lease.settle(Decimal(1), Decimal(0))
    lease.shrink(keep=Decimal(1))
    assert lease.told, "nothing was spent or given back"
    lease.settle(Decimal(0), Decimal("0.1"))
    assert not lease.told
    lease.told = True
    lease.shrink()
    assert not lease.told
    lease.told = True
    assert lease.borrow(Decimal(1), Decimal(1))
    assert not lease.told


def test_use_ends_the_quiet() -> None:
    lease = opened()
    lease.quiet = 3
    assert not lease.take(Decimal(2))
    assert lease.quiet == 3
    assert lease.take(Decimal(1))
    assert lease.quiet == 0
    lease.quiet = 3
    lease.settle(Decimal(1), Decimal(0))
    assert lease.quiet == 0


def test_borrowing_has_an_end() -> None:
    lease = opened(Decimal(0))
    assert lease.borrow(Decimal("0.3"), Decimal("0.5"))
    assert not lease.borrow(Decimal("0.3"), Decimal("0.5"))
    assert lease.free == Decimal("0.3")
    lease.drawn(Drawn(lease.start, Decimal(1), BUDGET.limit_usd, Decimal(0), Decimal(0)))
    assert lease.borrowed == 0


CALLS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 100), st.booleans()), max_size=30)


@given(CALLS)
def test_what_is_told_covers_all_that_is_reserved_and_spent(
    calls: list[tuple[int, int, bool]],
) -> None:
    """Calls reserve and cost in cents; some are still under way at the end."""
    lease, spent, held = opened(), Decimal(0), Decimal(0)
    seq = lease.holding().seq
    for reserved, percent, over in calls:
        amount = Decimal(reserved) / 100
        if not lease.take(amount):
            continue
        if over:
            cost = amount * percent / 100
            lease.settle(amount, cost)
            spent += cost
        else:
            held += amount
    lease.shrink()
    told = lease.holding()
    assert told.spent == spent
    assert told.granted == spent + held <= 1
    assert told.seq > seq
