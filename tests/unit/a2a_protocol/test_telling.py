from __future__ import annotations

from sqlalchemy import text

from agentcore.a2a_protocol.agent_lifecycle_manager import AgentLifecycleManager
from agentcore.a2a_protocol.agent_registry import AgentRegistry
from agentcore.a2a_protocol.models.agent import AgentStatus, Move
from agentcore.a2a_protocol.registry.telling import LONGEST_BACKOFF, MOST_ATTEMPTS, TURN
from agentcore.a2a_protocol.store import AgentStore, Entry
from agentcore.kit.db import Database
from agentcore.kit.errors import Unavailable
from tests.fakes.a2a import RecordingListener, principal
from tests.fakes.clock import ManualClock
from tests.unit.a2a_protocol.test_agent_lifecycle_manager import card
from tests.unit.a2a_protocol.test_discovery import agent

ALICE = principal("alice")


async def test_what_a_killed_process_has_not_told_another_one_tells(
    known: AgentRegistry, database: Database, clock: ManualClock, listener: RecordingListener
) -> None:
    """The row is there and nobody has heard of it: so it dies between the two."""
    now = clock.now()
    entry = Entry(what="registered", by="alice", at=now, tell_at=now + TURN)
    await AgentStore(database).put(agent("poet"), entry)
    await known.upkeep.tend()
    assert listener.registered == [], "the process that wrote it may still do so"
    clock.advance(TURN.total_seconds())
    await known.upkeep.tend()
    (event,) = listener.registered
    assert (event.agent_id, event.before, event.after) == ("poet", None, AgentStatus.ACTIVE)
    clock.advance(TURN.total_seconds())
    await known.upkeep.tend()
    assert len(listener.registered) == 1


async def test_a_listener_that_failed_is_told_again_until_it_hears(
    known: AgentRegistry,
    agents: AgentLifecycleManager,
    clock: ManualClock,
    listener: RecordingListener,
) -> None:
    listener.error = Unavailable("no playbook today")
    await agents.register(card(), ALICE, agent_id="poet")
    await agents.move("poet", Move.DRAIN, ALICE)
    clock.advance(10)
    await known.upkeep.tend()
    assert len(listener.registered) == 2
    listener.error = None
    clock.advance(20)
    await known.upkeep.tend()
    assert len(listener.registered) == 3
    # Told later, and as it was: the agent has moved on since.
    assert listener.registered[-1].after is AgentStatus.ACTIVE
    clock.advance(LONGEST_BACKOFF)
    await known.upkeep.tend()
    assert len(listener.registered) == 3


async def test_one_that_never_hears_is_given_up(
    known: AgentRegistry, database: Database, clock: ManualClock, listener: RecordingListener
) -> None:
    listener.error = Unavailable("no playbook, ever")
    await known.agents.register(card(), ALICE, agent_id="poet")
    almost = text("UPDATE agent_events SET attempts = :most").bindparams(most=MOST_ATTEMPTS - 1)
    await database.write(almost)
    for _ in range(3):
        clock.advance(LONGEST_BACKOFF + 1)
        await known.upkeep.tend()
    assert len(listener.registered) == 2
