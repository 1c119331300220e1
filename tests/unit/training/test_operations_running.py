from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import pytest

from agentcore.kit.db import Database, StorageUnavailable
from agentcore.kit.errors import Conflict
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.operations.errors import OperationNotFound, OperationUnderWay
from agentcore.training.openenv.operations.models import Operation
from agentcore.training.openenv.operations.running import (
    KEPT,
    LEASE,
    MOST_ATTEMPTS,
    RENEW_SECONDS,
    Operations,
)
from agentcore.training.openenv.operations.store import OperationStore
from tests.fakes.clock import ManualClock
from tests.fakes.waiting import eventually


class Replica:
    """One process: its worker, and a handler that waits, fails or answers as it is told."""

    def __init__(self, database: Database, clock: ManualClock) -> None:
        self.store = OperationStore(database, "agentcore")
        self.operations = Operations(self.store, clock=clock, ids=Ids(clock))
        self.operations.handle(dict.fromkeys(("discover", "deploy", "undeploy"), self._handle))
        self.began: list[JsonObject] = []
        self.release = asyncio.Event()
        self.release.set()

    async def _handle(self, wanted: JsonObject) -> JsonObject:
        self.began.append(wanted)
        await self.release.wait()
        if wanted.get("break"):
            raise OSError(28, "No space left on device")
        if wanted.get("fail"):
            raise Conflict("it cannot be done", hint="do something else")
        return {"done": wanted.get("n")}

    async def submit(self, target: str = "", **wanted: int | str) -> Operation:
        return await self.operations.submit("deploy", target, dict(wanted), requested_by="ada")

    async def finished(self, operation: Operation) -> Operation:
        async with asyncio.timeout(60):
            while (found := await self.operations.get(operation.id)).finished_at is None:
                await asyncio.sleep(0.01)
        return found

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            worker = group.create_task(self.operations.run())
            yield
            worker.cancel()


@pytest.fixture
def here(database: Database, clock: ManualClock) -> Replica:
    return Replica(database, clock)


@pytest.fixture
def there(database: Database, clock: ManualClock) -> Replica:
    return Replica(database, clock)


async def begun(replica: Replica, count: int = 1) -> None:
    await eventually(lambda: len(replica.began) >= count)


async def test_what_is_submitted_is_done_and_its_result_kept(here: Replica) -> None:
    first = await here.submit(n=1)
    assert first.state == "pending"
    async with here.working():
        second = await here.submit(n=2)
        assert (await here.finished(first)).result == {"done": 1}
        assert (await here.finished(second)).state == "succeeded"


async def test_a_failure_is_its_problem_document(here: Replica) -> None:
    async with here.working():
        failed = await here.finished(await here.submit(fail=1))
    assert failed.state == "failed"
    assert failed.error is not None
    assert (failed.error["code"], failed.error["hint"]) == ("conflict", "do something else")


async def test_what_breaks_off_one_operation_ends_no_other(here: Replica) -> None:
    here.release.clear()
    async with here.working():
        broken, whole = await here.submit("a", **{"break": 1}), await here.submit("b", n=2)
        await begun(here, 2)
        here.release.set()
        failed = await here.finished(broken)
        assert (await here.finished(whole)).attempts == 1
    assert failed.error is not None
    assert failed.error["code"] == "internal_error"
    assert "No space left on device" in str(failed.error["detail"])
    with pytest.raises(OSError, match="No space"):
        await here.operations.perform("deploy", "a", {"break": 1}, requested_by="ada")
    assert not await here.operations.under_way("a")


async def test_a_database_that_is_away_for_a_while_ends_no_operation(
    here: Replica, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def away(*_: object, **__: object) -> None:
        asked.append("lease")
        raise StorageUnavailable("the database is away")

    here.release.clear()
    async with here.working():
        operation = await here.submit("echo", n=1)
        await begun(here)
        with monkeypatch.context() as broken:
            broken.setattr(here.store, "lease", away)
            clock.advance(RENEW_SECONDS)
            await eventually(lambda: asked)
        here.release.set()
        assert (await here.finished(operation)).attempts == 1


async def test_one_target_has_one_operation_at_a_time(here: Replica, there: Replica) -> None:
    first = await here.submit("echo")
    with pytest.raises(OperationUnderWay) as caught:
        await there.submit("echo")
    assert caught.value.context["operation_id"] == str(first.id)
    with pytest.raises(OperationUnderWay):
        await there.operations.perform("undeploy", "echo", {}, requested_by="ada")
    await there.submit("maze")
    await there.submit("")
    await there.submit("")
    async with here.working():
        await here.finished(first)
    await there.submit("echo")


async def test_each_operation_is_done_by_one_replica(here: Replica, there: Replica) -> None:
    async with here.working(), there.working():
        submitted = [await here.submit(n=number) for number in range(12)]
        for operation in submitted:
            await here.finished(operation)
    numbers = sorted(int(str(wanted["n"])) for wanted in [*here.began, *there.began])
    assert numbers == list(range(12))


async def test_a_stop_hands_over_to_the_next_start(here: Replica, there: Replica) -> None:
    here.release.clear()
    async with here.working():
        operation = await here.submit("echo", n=1)
        await begun(here)
    assert (await here.operations.get(operation.id)).state == "running"
    async with there.working():
        done = await there.finished(operation)
    assert (done.state, done.attempts, there.began) == ("succeeded", 2, [{"n": 1}])


async def test_a_killed_workers_operation_is_taken_when_its_lease_is_over(
    here: Replica, there: Replica, clock: ManualClock
) -> None:
    """Killed: nobody gives the lease back."""
    operation = await here.submit("echo", n=1)
    now = clock.now()
    taken = await here.store.take(now=now, until=now + LEASE)
    assert taken is not None
    assert await there.store.take(now=now + LEASE, until=now + 2 * LEASE) is None
    clock.advance(LEASE.total_seconds() + 1)
    async with there.working():
        done = await there.finished(operation)
    assert (done.state, done.attempts) == ("succeeded", 2)
    await here.store.finish(taken, result=None, error={"code": "late"}, at=clock.now())
    assert (await here.operations.get(operation.id)).state == "succeeded"


async def test_a_long_operation_keeps_its_lease(
    here: Replica, there: Replica, clock: ManualClock
) -> None:
    here.release.clear()
    async with here.working():
        operation = await here.submit("echo")
        await begun(here)
        for _ in range(8):
            slept = len(clock.slept)
            clock.advance(RENEW_SECONDS)
            await eventually(lambda: len(clock.slept) > slept)  # noqa: B023 - awaited at once
            assert await there.store.take(now=clock.now(), until=clock.now()) is None
        here.release.set()
        await here.finished(operation)
    assert there.began == []


async def test_what_kills_every_worker_is_given_up(here: Replica, clock: ManualClock) -> None:
    operation = await here.submit("echo")
    for _ in range(MOST_ATTEMPTS):
        assert await here.store.take(now=clock.now(), until=clock.now()) is not None
        clock.advance(1)
    async with here.working():
        failed = await here.finished(operation)
    assert failed.error is not None
    assert failed.error["code"] == "operation_interrupted"
    assert here.began == []


async def test_a_caller_may_wait_itself(here: Replica) -> None:
    done = await here.operations.perform("deploy", "echo", {"n": 5}, requested_by="ada")
    assert done == {"done": 5}
    with pytest.raises(Conflict, match="cannot be done"):
        await here.operations.perform("deploy", "echo", {"fail": 1}, requested_by="ada")


async def test_a_caller_that_gives_up_leaves_no_operation_behind(
    here: Replica, there: Replica
) -> None:
    here.release.clear()
    await given_up(here, lambda: here.began)
    async with there.working():
        again = await there.finished(await there.submit("echo", n=2))
    assert (again.state, there.began) == ("succeeded", [{"n": 2}])


async def test_nor_does_one_that_gives_up_while_it_is_written_down(
    here: Replica, there: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = asyncio.Event()

    async def add(operation: Operation, lease_until: datetime | None) -> None:
        await there.store.add(operation, lease_until)
        added.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(here.store, "add", add)
    await given_up(here, added.is_set)
    await there.submit("echo")
    assert here.began == []


async def given_up(by: Replica, when: Callable[[], object]) -> None:
    asking = by.operations.perform("deploy", "echo", {}, requested_by="ada")
    caller = asyncio.ensure_future(asking)
    await eventually(when)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller


async def test_finished_operations_are_forgotten_later(here: Replica, clock: ManualClock) -> None:
    async with here.working():
        old = await here.finished(await here.submit())
    clock.advance((KEPT + timedelta(seconds=1)).total_seconds())
    await here.submit()
    with pytest.raises(OperationNotFound):
        await here.operations.get(old.id)
