from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.kit import batches
from agentcore.kit.batches import Batches
from agentcore.kit.db import StorageUnavailable
from agentcore.kit.supervisor import Supervisor


@dataclass
class Disk:
    """Writes what it is given, but "taken", when it may; refuses "bad"."""

    may: asyncio.Event = field(default_factory=asyncio.Event)
    written: list[list[str]] = field(default_factory=list)
    fault: Exception | None = None

    async def write(self, items: Sequence[str]) -> dict[str, str]:
        self.written.append(list(items))
        await self.may.wait()
        if self.fault is not None:
            raise self.fault
        if "bad" in items:
            raise ValueError("bad")
        return {item: item.upper() for item in items if item != "taken"}


def writing(disk: Disk, supervisor: Supervisor) -> Batches[str, str]:
    return Batches("write", disk.write, str, supervisor=supervisor, refused=(ValueError,))


async def begun(
    tasks: asyncio.TaskGroup, of: Batches[str, str], *items: str
) -> list[asyncio.Task[str | None]]:
    made = []
    for item in items:
        made.append(tasks.create_task(of.write(item)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    return made


async def test_what_comes_during_a_write_goes_together(supervisor: Supervisor) -> None:
    disk = Disk()
    async with asyncio.TaskGroup() as tasks:
        made = await begun(tasks, writing(disk, supervisor), "a", "b", "c", "taken", "d")
        assert disk.written == [["a"], ["b"]], "as many as there are lanes, at once"
        disk.may.set()
    assert disk.written == [["a"], ["b"], ["c", "taken", "d"]]
    assert [task.result() for task in made] == ["A", "B", "C", None, "D"]


async def test_the_same_task_is_written_one_after_the_other(supervisor: Supervisor) -> None:
    disk = Disk()
    async with asyncio.TaskGroup() as tasks:
        await begun(tasks, writing(disk, supervisor), "a", "b", "c", "c", "d", "c")
        disk.may.set()
    assert disk.written[2:] == [["c", "d"], ["c"], ["c"]]


async def test_one_bad_item_fails_alone(supervisor: Supervisor) -> None:
    disk = Disk()
    of = writing(disk, supervisor)
    disk.may.set()
    found = await asyncio.gather(
        *map(of.write, ["a", "b", "c", "bad", "d"]), return_exceptions=True
    )
    assert [str(each) for each in found] == ["A", "B", "C", "bad", "D"]


async def test_all_hear_that_the_database_is_away(supervisor: Supervisor) -> None:
    disk = Disk(fault=StorageUnavailable("away"))
    of = writing(disk, supervisor)
    disk.may.set()
    found = await asyncio.gather(*map(of.write, "abcd"), return_exceptions=True)
    assert {type(each) for each in found} == {StorageUnavailable}
    disk.fault = None
    assert await of.write("a"), "and the next is tried"


async def test_a_cancelled_caller_leaves_its_write_and_the_others(supervisor: Supervisor) -> None:
    disk = Disk()
    of = writing(disk, supervisor)
    gone, stays = (asyncio.create_task(of.write(name)) for name in "ab")
    await asyncio.sleep(0.001)
    gone.cancel()
    disk.may.set()
    assert await stays
    assert gone.cancelled() or not gone.done()
    assert ["a", "b"] in disk.written or ["a"] in disk.written


async def test_leaving_amid_a_write_leaves_nobody_waiting() -> None:
    disk = Disk()
    async with Supervisor() as supervisor:
        waiting = asyncio.create_task(writing(disk, supervisor).write("a"))
        await asyncio.sleep(0.001)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(waiting, 30)


@given(st.lists(st.sampled_from("abcdef")), st.integers(1, 3))
def test_nothing_is_lost_or_written_twice(items: list[str], most: int) -> None:
    async def check(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(batches, "MOST", most)
        disk = Disk()
        disk.may.set()
        async with Supervisor() as supervisor:
            of = writing(disk, supervisor)
            assert all(await asyncio.gather(*map(of.write, items)))
        assert sorted(item for each in disk.written for item in each) == sorted(items)
        assert all(len(each) == len(set(each)) <= most for each in disk.written)

    with pytest.MonkeyPatch.context() as monkeypatch:
        asyncio.run(check(monkeypatch))
