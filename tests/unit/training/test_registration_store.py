from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from agentcore.kit.db import Database
from agentcore.kit.ids import Ids
from agentcore.training.openenv.models import Capacity
from agentcore.training.openenv.registration.naming import Reference
from agentcore.training.openenv.registration.records import (
    DeploymentRecord,
    EnvironmentHealth,
    EnvironmentRecord,
)
from agentcore.training.openenv.registration.store import DeploymentStore, EnvironmentStore
from tests.fakes.environment_registry import spec

AT = datetime(2026, 1, 1, tzinfo=UTC)
SEEN = EnvironmentHealth(
    status="busy",
    detail="full",
    mode="production",
    capacity=Capacity(active=2, maximum=2),
    checked_at=AT,
    last_seen_at=AT,
)


async def registered(
    store: EnvironmentStore, name: str, due: datetime | None = AT
) -> EnvironmentRecord:
    return await store.register(
        spec(name, source_id=name), token_ref=None, health=SEEN, at=AT, next_check_at=due
    )


async def test_a_record_comes_back_as_it_was_written(database: Database) -> None:
    store = EnvironmentStore(database, Ids())
    full = spec(
        "echo",
        version="1",
        description="d",
        tags=["a", "b"],
        author="ann",
        license="mit",
        dockerfile="FROM x",
        deployment_config={"port": 8000},
        image="echo:1",
        source="hub",
        source_id="ann/echo",
        revision="r",
    )
    record = await store.register(full, token_ref="env:A", health=SEEN, at=AT, next_check_at=None)
    assert (record.spec, record.health, record.token_ref) == (full, SEEN, "env:A")
    assert await store.listed(registered=True) == [record]
    assert await store.remove(record.id)
    assert not await store.remove(record.id)


async def test_a_large_catalog_is_taken_whole(database: Database) -> None:
    store = EnvironmentStore(database, Ids())
    # More values than one statement may have parameters.
    specs = [spec(f"e{number}", source_id=f"e{number}") for number in range(1600)]
    await store.discover(specs, AT)
    assert len(await store.of_specs(specs)) == 1600


async def test_pages_are_by_name_and_id(database: Database) -> None:
    store = EnvironmentStore(database, Ids())
    for name in ("c", "a", "b"):
        await registered(store, name)
    first = await store.listed(registered=True, limit=2)
    last = first[-1]
    rest = await store.listed(registered=True, after=(last.spec.name, last.id), limit=2)
    assert [record.spec.name for record in [*first, *rest]] == ["a", "b", "c"]


async def test_two_replicas_never_take_the_same_check(database: Database) -> None:
    store = EnvironmentStore(database, Ids())
    for number in range(20):
        await registered(store, f"e{number}", AT + timedelta(seconds=number))
    await registered(store, "image", None)
    now, until = AT + timedelta(seconds=15), AT + timedelta(seconds=60)
    taken = await asyncio.gather(*(store.take_due(now=now, until=until, limit=5) for _ in range(4)))
    names = [record.spec.name for batch in taken for record in batch]
    assert len(names) == len(set(names))
    rest = await store.take_due(now=now, until=until, limit=20)
    assert {*names, *(record.spec.name for record in rest)} == {f"e{n}" for n in range(16)}
    assert await store.next_due() == AT + timedelta(seconds=16)


@pytest.mark.parametrize(
    "change",
    [
        "source = 'elsewhere'",
        "source_id = ''",
        "name = 'Has Spaces'",
        "token_ref = 'plain-secret'",
        "state = 'discovered'",
        "registered_at = NULL",
        "health = 'fine'",
        "mode = 'demo'",
        "failures = -1",
        "capacity_active = NULL",
        "capacity_maximum = -1",
    ],
)
async def test_the_database_refuses_what_cannot_be(database: Database, change: str) -> None:
    await registered(EnvironmentStore(database, Ids()), "echo")
    with pytest.raises(IntegrityError, match="ck_environments"):
        async with database.begin() as connection:
            await connection.execute(text(f"UPDATE environments SET {change}"))


def deployment(name: str = "echo", **changed: object) -> DeploymentRecord:
    values = {
        "name": name,
        "spec": spec(name),
        "runtime": "local",
        "replicas": 2,
        "resources": {"cpu": "1"},
        "updated_at": AT,
        **changed,
    }
    return DeploymentRecord.model_validate(values)


async def test_deployments_belong_to_a_namespace(database: Database) -> None:
    here, there = DeploymentStore(database, "here"), DeploymentStore(database, "there")
    await here.put(deployment())
    await there.put(deployment(replicas=7))
    running = deployment(status="running", url="http://x", ready=2)
    await here.put(running)
    assert await here.get("echo") == running
    assert await here.listed() == [running]
    assert await here.remove("echo")
    assert not await here.remove("echo")
    assert await here.get("echo") is None
    found = await there.get("echo")
    assert found is not None
    assert found.replicas == 7


async def test_nothing_has_a_name_with_a_nul(database: Database) -> None:
    environments = EnvironmentStore(database, Ids())
    assert await environments.fitting(Reference.parse("a\x00")) == []
    assert await DeploymentStore(database, "agentcore").get("a\x00") is None
