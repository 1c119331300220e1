from __future__ import annotations

import pytest

from agentcore.kit.db import Database
from agentcore.training.openenv.environments.catalog import BUNDLED
from agentcore.training.openenv.errors import EnvironmentNotFoundError
from agentcore.training.openenv.models import EnvironmentEntry
from agentcore.training.openenv.registration.errors import (
    AmbiguousEnvironment,
    EnvironmentNotServed,
)
from tests.fakes.clock import ManualClock
from tests.fakes.environment_registry import World, spec, world
from tests.fakes.environment_sessions import caller, mounted, sessions_at


@pytest.fixture
async def here(database: Database, clock: ManualClock) -> World:
    return world(database, clock)


async def test_a_registered_environment_is_opened_by_name(here: World, clock: ManualClock) -> None:
    async with mounted() as url:
        elsewhere = spec("mine", url=f"{url}/guess_number")
        await here.registry.register(elsewhere, validate=False)
        async with sessions_at("http://nowhere.example", clock, registered=here.registry) as held:
            session = await held.open(caller(), "mine", seed=7)
            assert session.info.name == "guess_number"
            assert session.first is not None
            again = await held.open(caller(), "manual:mine@", url=f"{url}/guess_number")
            assert again.id != session.id
            entry = await held.inventory.environment("mine")
            assert (entry.source, entry.state) == ("manual", "registered")
            assert entry.info is not None
            with pytest.raises(EnvironmentNotFoundError):
                await held.open(caller(), "mine", url="http://evil.example/")


async def test_a_query_is_not_shown_and_what_is_shown_opens(
    here: World, clock: ManualClock
) -> None:
    async with mounted() as url:
        secret = spec("mine", url=f"{url}/guess_number?key=hunter2")
        await here.registry.register(secret, validate=False)
        async with sessions_at("http://nowhere.example", clock, registered=here.registry) as held:
            listed = (await held.inventory.listed(limit=50, cursor="")).environments
            (shown,) = (entry.url for entry in listed if entry.name == "mine")
            assert shown == f"{url}/guess_number"
            assert (await held.inventory.environment("mine")).url == shown
            assert (await held.open(caller(), "mine", url=shown)).info.name == "guess_number"


async def test_what_is_nowhere_served_says_how_to_deploy_it(
    here: World, clock: ManualClock
) -> None:
    await here.registry.register(spec(url=None, image="far:1"))
    async with sessions_at("http://nowhere.example", clock, registered=here.registry) as held:
        with pytest.raises(EnvironmentNotServed) as caught:
            await held.open(caller(), "far")
        assert caught.value.hint == "agentcore env deploy far"
        entry = await held.inventory.environment("far")
        assert (entry.image, entry.info) == ("far:1", None)
        with pytest.raises(EnvironmentNotFoundError):
            await held.open(caller(), "chess")


async def test_an_ambiguous_name_opens_nothing(here: World, clock: ManualClock) -> None:
    for author in ("ann", "bob"):
        each = spec("echo", source="hub", source_id=f"{author}/echo", revision="1")
        await here.registry.register(each, validate=False)
    async with sessions_at("http://nowhere.example", clock, registered=here.registry) as held:
        with pytest.raises(AmbiguousEnvironment):
            await held.open(caller(), "echo")
        with pytest.raises(AmbiguousEnvironment):
            await held.inventory.environment("echo")


async def test_all_are_listed_in_pages_and_none_twice(here: World, clock: ManualClock) -> None:
    for number in range(5):
        each = spec("echo", source="hub", source_id=f"a{number}/echo", revision="1")
        await here.registry.register(each, validate=False)
    await here.registry.deploy("task-routing")
    remote = {"name": "far", "url": "http://far.example/"}
    async with sessions_at(
        "http://nowhere.example", clock, registered=here.registry, environments=[remote]
    ) as held:
        seen: list[EnvironmentEntry] = []
        cursor = ""
        for _ in range(30):
            page = await held.inventory.listed(limit=2, cursor=cursor)
            seen += page.environments
            if page.next_cursor is None:
                break
            cursor = page.next_cursor
    assert [entry.name for entry in seen] == sorted([*BUNDLED, "far", *["echo"] * 5])
    assert len({(entry.name, entry.id) for entry in seen}) == len(seen)
    assert {entry.source for entry in seen} == {"bundled", "remote", "hub"}
    (deployed,) = [entry for entry in seen if entry.source == "bundled" and entry.state]
    assert deployed.name == "task_routing"
    assert deployed.info is not None
