from __future__ import annotations

import pytest

from agentcore.a2a_protocol.agent_lifecycle_manager import AgentLifecycleManager
from agentcore.a2a_protocol.agent_registry import AgentRegistry
from agentcore.kit.db import Database
from agentcore.kit.supervisor import Supervisor
from tests.fakes.a2a import RecordingListener, known_agents
from tests.fakes.clock import ManualClock

PATIENCE = 600.0


@pytest.fixture
def listener() -> RecordingListener:
    return RecordingListener()


@pytest.fixture
def known(
    database: Database, supervisor: Supervisor, clock: ManualClock, listener: RecordingListener
) -> AgentRegistry:
    """What is told to one listener is told to another one, too."""
    return known_agents(
        database, supervisor, clock, listener, RecordingListener(), drain_seconds=PATIENCE
    )


@pytest.fixture
def agents(known: AgentRegistry) -> AgentLifecycleManager:
    return known.agents
