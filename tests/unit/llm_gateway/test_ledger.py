from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from agentcore.kit.db import StorageUnavailable
from agentcore.kit.supervisor import Supervisor
from agentcore.llm_gateway.errors import UnwritableCalls
from agentcore.llm_gateway.ledger import MANY, Ledger
from agentcore.llm_gateway.metrics import GatewayMetrics
from agentcore.llm_gateway.models import CallRecord
from tests.fakes.clock import ManualClock
from tests.unit.llm_gateway.conftest import call_record


class Book:
    """Takes batches; ``away`` makes it fail like a database that is gone."""

    def __init__(self) -> None:
        self.away = False
        self.refused: UUID | None = None
        self.batches: list[int] = []
        self.ids: list[UUID] = []

    async def write(self, records: Sequence[CallRecord]) -> None:
        if self.away:
            raise StorageUnavailable("gone")
        if self.refused in {each.id for each in records}:
            raise UnwritableCalls("no")
        self.batches.append(len(records))
        self.ids += [each.id for each in records]


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def ledger(book: Book, clock: ManualClock, registry: CollectorRegistry) -> Ledger:
    metrics = GatewayMetrics(registry)
    return Ledger(book.write, clock=clock, metrics=metrics, flush_seconds=0.5, buffer=2500)


async def test_everything_is_written_once_and_in_order(ledger: Ledger, book: Book) -> None:
    records = [call_record() for _ in range(2300)]
    for each in records:
        ledger.add(each)
    await ledger.flush()
    await ledger.flush()
    assert book.batches == [2000, 300]
    assert book.ids == [each.id for each in records]
    assert ledger.pending == 0


async def test_it_flushes_by_itself(
    ledger: Ledger, book: Book, clock: ManualClock, supervisor: Supervisor
) -> None:
    supervisor.start("ledger", ledger.run)
    ledger.add(call_record())
    await clock.advance_until_idle(0.4)
    assert book.batches == []
    await clock.advance_until_idle(0.2)
    assert book.batches == [1]


async def test_many_lines_do_not_wait_for_their_time(
    ledger: Ledger, book: Book, supervisor: Supervisor
) -> None:
    supervisor.start("ledger", ledger.relieve)
    for _ in range(2):
        for _ in range(MANY - 1):
            ledger.add(call_record())
        await let_others_run()
        assert ledger.pending == MANY - 1
        ledger.add(call_record())
        await let_others_run()
        assert ledger.pending == 0
    assert book.batches == [MANY, MANY]


async def test_many_lines_do_not_press_a_database_that_is_away(
    ledger: Ledger, book: Book, supervisor: Supervisor
) -> None:
    supervisor.start("ledger", ledger.relieve)
    book.away = True
    for _ in range(MANY):
        ledger.add(call_record())
    await let_others_run()
    book.away = False
    ledger.add(call_record())
    await let_others_run()
    assert ledger.pending == MANY + 1


async def let_others_run() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_database_that_is_away_loses_nothing(
    ledger: Ledger,
    book: Book,
    clock: ManualClock,
    supervisor: Supervisor,
    registry: CollectorRegistry,
) -> None:
    supervisor.start("ledger", ledger.run)
    book.away = True
    ledger.add(call_record())
    await clock.advance_until_idle(2)
    assert ledger.pending == 1
    assert registry.get_sample_value("llm_ledger_pending") == 1
    book.away = False
    ledger.add(call_record())
    await clock.advance_until_idle(1)
    assert book.batches == [2]
    assert supervisor.health()["ledger"].restarts == 0


async def test_beyond_its_bound_new_lines_are_dropped_and_counted(
    ledger: Ledger, book: Book, registry: CollectorRegistry
) -> None:
    for _ in range(2503):
        ledger.add(call_record())
    assert registry.get_sample_value("llm_ledger_dropped_total") == 3
    await ledger.flush()
    assert sum(book.batches) == 2500


async def test_a_line_that_is_refused_keeps_no_other_waiting(
    ledger: Ledger, book: Book, registry: CollectorRegistry
) -> None:
    records = [call_record() for _ in range(1200)]
    for each in records:
        ledger.add(each)
    book.refused = records[700].id
    await ledger.flush()
    assert ledger.pending == 0
    assert book.ids == [each.id for each in records if each is not records[700]]
    assert registry.get_sample_value("llm_ledger_dropped_total") == 1


async def test_a_failed_flush_says_so(ledger: Ledger, book: Book) -> None:
    book.away = True
    ledger.add(call_record())
    with pytest.raises(StorageUnavailable):
        await ledger.flush()
    assert ledger.pending == 1
