from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from agentcore.kit.db import Database
from agentcore.kit.ids import Ids
from agentcore.training.openenv.operations.models import Operation
from agentcore.training.openenv.operations.store import OperationStore

AT = datetime(2026, 1, 1, tzinfo=UTC)


def operation(target: str = "", after: float = 0) -> Operation:
    return Operation(
        id=Ids().new(),
        kind="deploy",
        target=target,
        arguments={"replicas": 2},
        requested_by="ada",
        created_at=AT + timedelta(seconds=after),
    )


async def test_an_operation_comes_back_as_it_was_written(database: Database) -> None:
    store = OperationStore(database, "here")
    written = operation("echo")
    await store.add(written, None)
    assert await store.get(written.id) == written
    assert await OperationStore(database, "there").get(written.id) is None
    assert await OperationStore(database, "there").take(now=AT, until=AT) is None


async def test_the_oldest_is_taken_first_and_once(database: Database) -> None:
    store = OperationStore(database, "here")
    later, first = operation(after=2), operation(after=1)
    for each in (later, first):
        await store.add(each, None)
    taken = [await store.take(now=AT, until=AT + timedelta(seconds=30)) for _ in range(3)]
    assert [each and each.id for each in taken] == [first.id, later.id, None]


@pytest.mark.parametrize(
    "change",
    [
        "kind = 'format'",
        "state = 'lost'",
        "state = 'succeeded'",
        "finished_at = now()",
        """error = '{}'""",
    ],
)
async def test_the_database_refuses_what_cannot_be(database: Database, change: str) -> None:
    await OperationStore(database, "here").add(operation(), None)
    with pytest.raises(IntegrityError, match="ck_environment_operations"):
        async with database.begin() as connection:
            await connection.execute(text(f"UPDATE environment_operations SET {change}"))


async def test_the_words_of_a_program_may_be_anything(database: Database) -> None:
    store, begun = OperationStore(database, "here"), operation("echo")
    await store.add(begun, None)
    taken = await store.take(now=AT, until=AT)
    assert taken is not None
    await store.finish(taken, result=None, error={"detail": "ended: \x00\udcff"}, at=AT)
    found = await store.get(begun.id)
    assert found is not None
    assert found.error == {"detail": "ended: \ufffd\\udcff"}
