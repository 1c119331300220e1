from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from agentcore.kit.db import Database
from agentcore.training.openenv.errors import EnvironmentNotFoundError
from agentcore.training.openenv.models import RemoteEnvironment
from agentcore.training.openenv.registration.errors import (
    AmbiguousEnvironment,
    EnvironmentNameTaken,
    EnvironmentNotServed,
    HubUnavailable,
    TokenReferenceInvalid,
)
from agentcore.training.openenv.registry import EnvironmentValidationError
from tests.fakes.clock import ManualClock
from tests.fakes.environment_registry import spec, world
from tests.fakes.hub import FakeHub, space

CATALOG = Path(__file__).parents[2] / "wire" / "openenv" / "catalog_upstream_0_10_0.json"
HEALTHY = {"status": "healthy"}


async def test_a_registered_environment_is_found_by_name(
    database: Database, clock: ManualClock
) -> None:
    here = world(database, clock)
    assert here.registry.namespace == "agentcore"
    here.probe.found["http://far.example:8000/"] = HEALTHY
    record = await here.registry.register(spec(), token_ref="env:FAR_TOKEN")
    assert here.probe.asked == [("http://far.example:8000/", "far-secret")]
    assert record.health.status == "healthy"
    assert record.health.mode == "simulation"
    assert record.qualified == "manual:far@"
    assert dict(here.registry.environments) == {"far": record.spec}
    found = await here.registry.find("far")
    assert found is not None
    assert (str(found.url), found.token.get_secret_value()) == (
        "http://far.example:8000/",
        "far-secret",
    )
    assert await here.registry.find("chess") is None


async def test_a_token_is_kept_by_reference_only(database: Database, clock: ManualClock) -> None:
    here = world(database, clock)
    await here.registry.register(spec(), validate=False, token_ref="env:FAR_TOKEN")
    async with database.begin() as connection:
        found = await connection.execute(text("SELECT environments::text FROM environments"))
        rows = found.all()
    assert "env:FAR_TOKEN" in str(rows)
    assert "far-secret" not in str(rows)


async def test_registering_again_drops_the_token(database: Database, clock: ManualClock) -> None:
    """Else whoever may register could have somebody's token sent to an address of their own."""
    here = world(database, clock)
    first = await here.registry.register(spec(), validate=False, token_ref="env:FAR_TOKEN")
    again = await here.registry.register(spec(url="http://evil.example/"), validate=False)
    assert again.id == first.id
    assert again.token_ref is None


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"status": "failed", "stage": "pages", "detail": "connection refused"}, "refused"),
        ({"status": "failed", "stage": "session", "code": "FACTORY_ERROR"}, "FACTORY_ERROR"),
    ],
)
async def test_a_server_without_episodes_is_not_registered(
    database: Database, clock: ManualClock, found: dict[str, str], said: str
) -> None:
    here = world(database, clock)
    here.probe.found["http://far.example:8000/"] = found
    with pytest.raises(EnvironmentValidationError, match=said):
        await here.registry.register(spec())
    assert await here.registry.find("far") is None
    await here.registry.register(spec(), validate=False)
    assert await here.registry.find("far") is not None


@pytest.mark.parametrize("status", ["busy", "degraded"])
async def test_a_server_that_is_there_is_registered_as_it_is(
    database: Database, clock: ManualClock, status: str
) -> None:
    here = world(database, clock)
    here.probe.found["http://far.example:8000/"] = {"status": status}
    assert (await here.registry.register(spec())).health.status == status


async def test_what_cannot_be_opened_is_refused(database: Database, clock: ManualClock) -> None:
    configured = {"mine": RemoteEnvironment.model_validate({"name": "mine", "url": "http://x/"})}
    here = world(database, clock, configured=configured)
    for name in ("task_routing", "task-routing", "mine", "deployed"):
        with pytest.raises(EnvironmentNameTaken):
            await here.registry.register(spec(name), validate=False)
    with pytest.raises(EnvironmentValidationError, match="neither a url nor an image"):
        await here.registry.register(spec(url=None))
    with pytest.raises(TokenReferenceInvalid, match="is not set"):
        await here.registry.register(spec(), token_ref="env:ABSENT")
    with pytest.raises(EnvironmentValidationError, match="bundled"):
        await here.registry.register(spec(source="bundled", source_id="x"), validate=False)


async def test_a_name_of_two_authors_is_ambiguous(database: Database, clock: ManualClock) -> None:
    here = world(database, clock)
    ann = spec("echo", source="hub", source_id="ann/echo", revision="a1")
    bob = spec("echo", source="hub", source_id="bob/echo", revision="b1")
    await here.registry.register(ann, validate=False)
    clock.advance(60)
    await here.registry.register(bob, validate=False)
    with pytest.raises(AmbiguousEnvironment) as caught:
        await here.registry.find("echo")
    assert caught.value.context["candidates"] == ["hub:ann/echo@a1", "hub:bob/echo@b1"]
    assert set(here.registry.environments) == {"hub:ann/echo@a1", "hub:bob/echo@b1"}
    assert (await here.registry.get("bob/echo")).spec == bob
    await here.registry.unregister("hub:bob/echo@b1")
    assert (await here.registry.get("echo")).spec == ann


async def test_the_last_registered_revision_is_meant(
    database: Database, clock: ManualClock
) -> None:
    here = world(database, clock)
    for revision in ("r1", "r2"):
        each = spec("echo", source="hub", source_id="ann/echo", revision=revision)
        await here.registry.register(each, validate=False)
        clock.advance(60)
    assert (await here.registry.get("echo")).spec.revision == "r2"
    assert (await here.registry.get("echo@r1")).spec.revision == "r1"
    first = spec("echo", source="hub", source_id="ann/echo", revision="r1")
    await here.registry.register(first, validate=False)
    assert (await here.registry.get("echo")).spec.revision == "r1"


async def test_discovery_remembers_and_registers_nothing(
    database: Database, clock: ManualClock
) -> None:
    hub = FakeHub([space("ann/echo"), space("bob/echo"), space("bob/maze"), space("ann/echo")])
    async with hub.running() as url:
        here = world(database, clock, hub=url)
        found = await here.registry.discover_from_hub()
        again = await here.registry.discover_from_hub(author="bob")
        none = await here.registry.discover_from_hub(tags=["absent"])
    assert [each.source_id for each in found] == ["ann/echo", "bob/echo", "bob/maze", "ann/echo"]
    assert [each.source_id for each in again] == ["bob/echo", "bob/maze"]
    assert none == []
    assert here.probe.asked == []
    assert here.registry.environments == {}
    assert await here.registry.find("maze") is None
    assert len(await here.registry.discovered(after=None, limit=9)) == 3
    record = await here.registry.get("maze", registered=False)
    assert (record.state, record.spec.source_id) == ("discovered", "bob/maze")


async def test_discovery_leaves_what_is_registered_as_it_is(
    database: Database, clock: ManualClock
) -> None:
    hub = FakeHub([space("ann/echo")])
    async with hub.running() as url:
        here = world(database, clock, hub=url)
        (found,) = await here.registry.discover_from_hub(register=True)
        assert (await here.registry.get("echo")).spec == found
        await here.registry.register(found.model_copy(update={"name": "ann-echo"}), validate=False)
        hub.spaces[0]["tags"] = ["openenv", "new"]
        await here.registry.discover_from_hub()
    record = await here.registry.get("ann-echo")
    assert (record.state, record.spec.tags) == ("registered", ("openenv",))
    with pytest.raises(EnvironmentNotFoundError, match="echo"):
        await here.registry.get("echo")


async def test_a_space_with_a_taken_name_does_not_stop_the_others(
    database: Database, clock: ManualClock
) -> None:
    hub = FakeHub([space("eve/task_routing"), space("eve/sessions"), space("bob/maze")])
    async with hub.running() as url:
        here = world(database, clock, hub=url)
        await here.registry.discover_from_hub(register=True)
    assert [entry.name for entry in await here.registry.entries()] == ["maze"]
    assert len(await here.registry.discovered(after=None, limit=9)) == 2


async def test_a_hub_that_is_away_changes_nothing(database: Database, clock: ManualClock) -> None:
    here = world(database, clock, hub={"endpoint": "http://127.0.0.1:9", "seconds": 0.1})
    with pytest.raises(HubUnavailable):
        await here.registry.discover_from_hub()
    assert await here.store.listed(registered=False) == []


async def test_a_catalog_is_imported(database: Database, clock: ManualClock) -> None:
    here = world(database, clock)
    done = await here.registry.import_catalog(CATALOG)
    assert [record.spec.name for record in done.imported] == ["echo_env", "maze-world"]
    assert {record.state for record in done.imported} == {"discovered"}
    assert [entry.path for entry in done.refused] == ["envs/nameless"]
    again = await here.registry.import_catalog(CATALOG)
    assert [each.id for each in again.imported] == [each.id for each in done.imported]
    maze = done.imported[1].spec
    with pytest.raises(EnvironmentValidationError):
        await here.registry.register(maze)
    served = maze.model_copy(update={"image": "maze:1"})
    record = await here.registry.register(served)
    assert record.id == done.imported[1].id
    assert record.state == "registered"
    with pytest.raises(EnvironmentNotServed, match="maze_env"):
        await here.registry.find("maze-world")
    entry = await here.registry.entry("maze-world")
    assert entry is not None
    assert (entry.source, entry.image, entry.url) == ("catalog", "maze:1", None)


async def test_texts_that_postgres_cannot_hold_are_changed(
    database: Database, clock: ManualClock
) -> None:
    here = world(database, clock)
    odd = spec(
        description="a\x00b\ud800", tags=["\x00\udcff"], deployment_config={"\x00": ["\x00"]}
    )
    record = await here.registry.register(odd, validate=False)
    assert "\x00" not in record.spec.model_dump_json()
    assert "a" in record.spec.description


async def test_another_replica_sees_it_after_loading(
    database: Database, clock: ManualClock
) -> None:
    here, there = world(database, clock), world(database, clock)
    await here.registry.register(spec(), validate=False)
    assert there.registry.environments == {}
    assert await there.registry.find("far") is not None
    await there.registry.load()
    assert list(there.registry.environments) == ["far"]


async def test_an_unknown_environment_names_the_known_ones(
    database: Database, clock: ManualClock
) -> None:
    here = world(database, clock)
    with pytest.raises(EnvironmentNotFoundError) as caught:
        await here.registry.unregister("chess")
    assert caught.value.detail == "no environment 'chess' is registered or discovered"
    assert caught.value.hint.startswith("registered: none; `agentcore env list --discovered`")
    await here.registry.register(spec(), validate=False)
    with pytest.raises(EnvironmentNotFoundError) as caught:
        await here.registry.check("chess")
    assert caught.value.hint == "registered: far"


async def test_a_check_is_recorded(database: Database, clock: ManualClock) -> None:
    here = world(database, clock)
    url = "http://far.example:8000/"
    here.probe.found[url] = HEALTHY
    await here.registry.register(spec())
    began = clock.now()
    clock.advance(100)
    del here.probe.found[url]
    for failures in (1, 2):
        await here.registry.check("far")
        health = (await here.registry.get("far")).health
        assert (health.status, health.failures) == ("failed", failures)
        assert health.detail == "pages: nobody answers"
        assert health.last_seen_at == began
        assert health.checked_at == clock.now()
        assert health.mode == "simulation"
    here.probe.found[url] = HEALTHY
    await here.registry.check("far")
    health = (await here.registry.get("far")).health
    assert (health.status, health.failures, health.last_seen_at) == ("healthy", 0, clock.now())


async def test_a_check_of_what_was_registered_anew_is_void(
    database: Database, clock: ManualClock
) -> None:
    here = world(database, clock)
    old = await here.registry.register(spec(), validate=False)
    clock.advance(1)
    new = await here.registry.register(spec(url="http://other.example/"), validate=False)
    await here.registry.check_record(old)
    assert await here.registry.get("far") == new


async def test_images_alone_are_not_asked(database: Database, clock: ManualClock) -> None:
    here = world(database, clock)
    record = await here.registry.register(spec(url=None, image="far:1"))
    assert await here.registry.check("far") == record
    assert here.probe.asked == []
