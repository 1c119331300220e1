from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from agentcore.a2a_protocol.late import LateWires
from agentcore.a2a_protocol.models.remote import RemoteAddress, RemoteTask
from agentcore.a2a_protocol.models.task import Owner, TaskState
from agentcore.a2a_protocol.remote import withdrawals
from agentcore.a2a_protocol.remote.dialling import open_peers
from agentcore.a2a_protocol.remote.errors import RemoteAddressRefused
from agentcore.a2a_protocol.remote.hostings import RemoteHostings
from agentcore.a2a_protocol.remote.store import RemoteTaskStore
from agentcore.a2a_protocol.remote.withdrawals import MOST_ATTEMPTS, Withdrawals
from agentcore.a2a_protocol.tasks.store import VersionedTaskStore
from agentcore.kit.db import Database
from agentcore.kit.supervisor import Supervisor
from tests.fakes.a2a_peer import until_bound
from tests.fakes.a2a_tasks import NOW, begin, record
from tests.fakes.clock import ManualClock
from tests.fakes.waiting import eventually
from tests.integration.test_remote_agents import ANYWHERE, OWNER, scene


async def test_tasks_whose_follower_died_are_cancelled_later(
    database: Database, supervisor: Supervisor
) -> None:
    """As after kill -9: the task here is over, and nobody has told the other side."""
    async with scene(database) as here:
        begun = await here.send("wait")
        clock = ManualClock(begun.record.updated_at + timedelta(minutes=1))
        await eventually(lambda: here.peer.agent.seen)
        task_id = begun.record.task_id
        store = RemoteTaskStore(database)
        await until_bound(database, task_id)
        here.peer.line.down = True
        await here.runtime.manager.cancel(OWNER, task_id)
        here.peer.line.down = False
        assert here.peer.agent.cancelled == []
        async with open_peers(ANYWHERE, LateWires()) as peers:
            hostings = RemoteHostings(
                here.runtime.directory,
                peers,
                store,
                config=ANYWHERE,
                supervisor=supervisor,
                clock=clock,
            )
            later = Withdrawals(store, peers, hostings.locate, clock)
            assert await later.withdraw_due() == 1
            assert await later.withdraw_due() == 0
        assert len(here.peer.agent.cancelled) == 1


async def test_what_cannot_be_cancelled_is_tried_ever_more_rarely_and_given_up(
    database: Database,
) -> None:
    async def nowhere(agent_id: str, owner: Owner) -> RemoteAddress:
        asked.append(clock.monotonic())
        raise RemoteAddressRefused(f"{agent_id} of {owner.tenant} is nowhere")

    asked: list[float] = []
    clock, store = ManualClock(NOW + timedelta(minutes=1)), RemoteTaskStore(database)
    await begin(VersionedTaskStore(database), record(state=TaskState.FAILED))
    bound = RemoteTask(task_id="t1", agent_id="poet", remote_id="theirs", context_id="c9")
    await store.bind(bound)
    async with open_peers(ANYWHERE, LateWires()) as peers:
        later = Withdrawals(store, peers, nowhere, clock)
        for _ in range(2 * MOST_ATTEMPTS):
            await later.withdraw_due()
            clock.advance(2000)
    assert len(asked) == MOST_ATTEMPTS


async def test_a_silent_agent_holds_up_nobody(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def locate(agent_id: str, owner: Owner) -> RemoteAddress:
        asked.append(agent_id)
        if agent_id == "silent":
            await asyncio.Event().wait()
        raise RemoteAddressRefused(f"{agent_id} is nowhere")

    asked: list[str] = []
    monkeypatch.setattr(withdrawals, "CANCEL_SECONDS", 0.02)
    clock, store = ManualClock(NOW + timedelta(minutes=1)), RemoteTaskStore(database)
    names = ("silent", "b", "c")
    for name in names:
        await begin(VersionedTaskStore(database), record(name, state=TaskState.FAILED))
        bound = RemoteTask(task_id=name, agent_id=name, remote_id="theirs", context_id="c9")
        await store.bind(bound)
    async with open_peers(ANYWHERE, LateWires()) as peers:
        assert await Withdrawals(store, peers, locate, clock).withdraw_due() == 3
    assert sorted(asked) == sorted(names)
