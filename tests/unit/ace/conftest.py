from __future__ import annotations

import pytest

from agentcore.ace.models import ContextPlaybook
from agentcore.kit.cache import Cache
from agentcore.kit.db import Database
from agentcore.kit.supervisor import Supervisor
from tests.fakes.clock import ManualClock
from tests.fakes.context import ALICE, ContextWorld


@pytest.fixture
def world(
    database: Database, cache: Cache, supervisor: Supervisor, clock: ManualClock
) -> ContextWorld:
    return ContextWorld(database, cache, supervisor, clock)


@pytest.fixture
async def playbook(world: ContextWorld) -> ContextPlaybook:
    """Of ``agent-123``, which belongs to Alice."""
    return await world.contexts.create_playbook(
        "agent-123", {"goals": ["solve customer issues"]}, principal=ALICE
    )
