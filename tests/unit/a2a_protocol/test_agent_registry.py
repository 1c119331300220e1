from __future__ import annotations

from agentcore.kit.db import Database
from agentcore.kit.supervisor import Supervisor
from tests.fakes.a2a import known_agents
from tests.fakes.clock import ManualClock


async def test_the_registry_is_seen_to_in_the_background(
    database: Database, supervisor: Supervisor, clock: ManualClock
) -> None:
    known_agents(database, supervisor, clock).start(supervisor)
    assert {"a2a-agents", "a2a-agent-health"} <= supervisor.health().keys()
    assert all(each.alive for each in supervisor.health().values())
