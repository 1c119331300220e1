from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from agentcore.kit.jsonvalue import JsonObject
from agentcore.simulators.models import ClusterConfig
from tests.fakes.clock import ManualClock
from tests.fakes.waiting import eventually

AGENTS: list[JsonObject] = [
    {"id": "agent-0", "capabilities": ["data_processing", "api_calls"], "success_rate": 0.7},
    {"id": "agent-1", "capabilities": ["natural_language"], "success_rate": 0.75},
    {"id": "agent-2", "capabilities": ["natural_language"], "success_rate": 0.9},
]
TASKS: list[JsonObject] = [
    {"id": "task-1", "type": "natural_language", "complexity": 0.6},
    {"id": "task-2", "type": "data_processing", "complexity": 0.5},
]
REQUEST: JsonObject = {
    "type": "task_request",
    "task_id": "request-0",
    "message": {"role": "ROLE_USER", "parts": [{"text": "What is the maximum of [3, 9, 4]?"}]},
}

Observe = Callable[..., JsonObject]
Configure = Callable[..., ClusterConfig]


async def asleep(clock: ManualClock, times: int = 1) -> None:
    """Wait until sleep was called so many times on ``clock``."""
    await eventually(lambda: len(clock.slept) >= times)


@pytest.fixture
def observe() -> Observe:
    """An observation of a2a_protocol_test in which only a step number tells one from another."""

    def build(step: int = 3, **members: Any) -> JsonObject:
        return {
            "available_agents": AGENTS,
            "pending_tasks": TASKS,
            "message_queue": [],
            "protocol_state": {"step": step, "completed_tasks": 0, "violations": 0},
            **members,
        }

    return build


@pytest.fixture
def configure() -> Configure:
    """A cluster on a free port that answers at once."""

    def build(**members: Any) -> ClusterConfig:
        quick = {"port": 0, "first_token_seconds": 0, "token_seconds": 0, "queue_seconds": 60}
        return ClusterConfig.model_validate({**quick, **members})

    return build


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield session
