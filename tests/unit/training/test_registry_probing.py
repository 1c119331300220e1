"""The registry with real servers and the real check of them."""

from __future__ import annotations

import pytest

from agentcore.kit.db import Database
from agentcore.training.openenv.deep_health import deep_health
from agentcore.training.openenv.registry import EnvironmentValidationError
from tests.fakes.clock import ManualClock
from tests.fakes.environment_registry import World, spec, world
from tests.fakes.environment_sessions import mounted
from tests.fakes.openenv_servers import Leave, ScriptedServer, refusal


@pytest.fixture
async def here(database: Database, clock: ManualClock) -> World:
    return world(database, clock, probe=deep_health)


async def test_one_of_ours_is_registered_with_mode_and_capacity(here: World) -> None:
    async with mounted(max_sessions=3) as url:
        record = await here.registry.register(spec(url=f"{url}/guess_number"))
    assert (record.health.status, record.health.mode) == ("healthy", "simulation")
    assert record.health.capacity is not None
    assert record.health.capacity.maximum == 3


async def test_a_green_server_whose_factory_fails_is_caught(here: World) -> None:
    broken = Leave(refusal("FACTORY_ERROR", "no licence for this machine"))
    server = ScriptedServer(resets=[broken] * 3)
    async with server.running() as url:
        with pytest.raises(EnvironmentValidationError) as caught:
            await here.registry.register(spec(url=url))
    assert "no licence" in caught.value.detail
    assert await here.registry.entries() == []


async def test_a_server_that_went_away_is_noticed(here: World) -> None:
    async with mounted() as url:
        await here.registry.register(spec(url=f"{url}/guess_number"))
        assert (await here.registry.check("far")).health.status == "healthy"
    record = await here.registry.check("far")
    assert (record.health.status, record.health.failures) == ("failed", 1)
    assert record.health.last_seen_at is not None
