from __future__ import annotations

import asyncio
import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.training.openenv.journal import Entry, Gap, Journal, Reader


def journal(entries: int = 4, size: int = 1000) -> Journal:
    return Journal("j", most_entries=entries, most_bytes=size)


def write(to: Journal, *numbers: int) -> None:
    for number in numbers:
        to.put(str(number).encode())


def seen(found: list[Entry | Gap]) -> list[object]:
    return [each.data.decode() if isinstance(each, Entry) else each.missed for each in found]


async def test_a_reader_begins_with_what_comes_next() -> None:
    log = journal()
    write(log, 1, 2)
    reader = log.reader(None)
    write(log, 3)
    assert await reader.read() == [Entry("j-3", b"3")]


async def test_a_reader_waits_and_all_readers_are_woken() -> None:
    log = journal()
    readers = [log.reader(None) for _ in range(3)]
    async with asyncio.TaskGroup() as tasks:
        reading = [tasks.create_task(reader.read()) for reader in readers]
        await asyncio.sleep(0)
        assert log.next_id == "j-1"
        write(log, 1)
    assert [seen(each.result()) for each in reading] == [["1"]] * 3


async def test_a_reader_comes_back() -> None:
    log = journal()
    write(log, 1, 2, 3)
    assert seen(await log.reader("j-1").read()) == ["2", "3"]
    assert seen(await log.reader("0").read()) == ["1", "2", "3"]


async def test_what_is_kept_no_longer_is_told() -> None:
    log = journal(entries=2)
    write(log, 1, 2, 3, 4, 5)
    assert seen(await log.reader("j-1").read()) == [2, "4", "5"]
    assert seen(await log.reader("j-3").read()) == ["4", "5"]
    assert seen(await log.reader("0").read()) == ["4", "5"]


async def test_a_slow_reader_is_told_how_much_it_has_lost() -> None:
    log = journal(entries=2)
    reader = log.reader(None)
    write(log, 1, 2, 3)
    assert seen(await reader.read()) == [1, "2", "3"]
    write(log, 4)
    assert seen(await reader.read()) == ["4"]


@pytest.mark.parametrize(
    "foreign", ["", "x", "k-1", "j-", "j-9", "j--1", "j-1.0", "j-" + "9" * 40, "j-²", "-1"]
)
async def test_a_foreign_id_is_a_gap_of_unknown_size(foreign: str) -> None:
    log = journal()
    write(log, 1, 2)
    assert seen(await log.reader(foreign).read()) == [None, "1", "2"]


async def test_bytes_are_bounded_and_the_newest_is_kept_whatever_its_size() -> None:
    log = journal(entries=100, size=10)
    for size in (4, 4, 4):
        log.put(b"x" * size)
    assert [len(each.data) for each in await log.reader("0").read() if isinstance(each, Entry)] == [
        4,
        4,
    ]
    log.put(b"y" * 50)
    assert await log.reader("0").read() == [Entry("j-4", b"y" * 50)]
    log.put(b"z")
    assert await log.reader("0").read() == [Entry("j-5", b"z")]


async def test_the_end_comes_after_what_is_kept() -> None:
    log = journal()
    reader = log.reader(None)
    write(log, 1)
    log.end()
    assert seen(await reader.read()) == ["1"]
    assert await reader.read() == []


async def test_the_end_wakes_those_who_wait() -> None:
    log = journal()
    reader = log.reader(None)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(reader.read())
        await asyncio.sleep(0)
        log.end()
    assert waiting.result() == []


async def test_a_reader_that_gives_up_loses_nothing() -> None:
    log = journal()
    reader = log.reader(None)
    waiting = asyncio.create_task(reader.read())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    write(log, 1)
    assert seen(await reader.read()) == ["1"]


def test_forgotten_readers_are_not_counted() -> None:
    log = journal()
    reader = log.reader(None)
    assert log.readers == 1
    del reader
    gc.collect()
    assert log.readers == 0


ACTS = st.lists(st.one_of(st.integers(1, 30), st.just("read")), max_size=60)


@given(acts=ACTS, entries=st.integers(1, 5), size=st.integers(0, 60))
async def test_a_reader_sees_or_is_told_of_every_entry_once_and_in_order(
    acts: list[int | str], entries: int, size: int
) -> None:
    log = journal(entries, size)
    reader = log.reader(None)
    written, accounted = 0, 0
    for act in [*acts, "read"]:
        if isinstance(act, int):
            written += 1
            log.put(b"x" * act)
        elif accounted < written:
            accounted = await _account(reader, accounted)
            assert accounted == written
    assert log.newest == f"j-{written}"


async def _account(reader: Reader, accounted: int) -> int:
    for each in await reader.read():
        if isinstance(each, Gap):
            assert each.missed is not None
            accounted += each.missed
        else:
            accounted += 1
            assert each.id == f"j-{accounted}"
    return accounted
