"""Tasks that work elsewhere, when the process that follows them dies or stands still."""

from __future__ import annotations

import asyncio
import signal
from datetime import UTC, datetime, timedelta

import httpx2
from sqlalchemy import update

from agentcore.a2a_protocol.remote.adoption import LOST
from agentcore.a2a_protocol.runtime import A2ARuntime
from agentcore.a2a_protocol.task_manager import Begun
from agentcore.a2a_protocol.tasks.store import tasks
from agentcore.kit.clock import SystemClock
from agentcore.kit.db import Database
from agentcore.kit.jsonvalue import JsonObject
from tests.fakes.a2a import a2a, at
from tests.fakes.a2a_peer import peer_server, until_bound
from tests.fakes.waiting import eventually
from tests.integration.test_a2a_processes import message, request, victim_of
from tests.integration.test_delegations import ended, register
from tests.integration.test_remote_agents import (
    ANYWHERE,
    OWNER,
    PATIENCE,
    lines,
    said,
    scene,
    state,
)

LINES = [f"line {number}" for number in range(6)]


class Later(SystemClock):
    """Leases are over by then; who has just missed a task's end looks again."""

    def now(self) -> datetime:
        return super().now() + timedelta(minutes=5)


async def until_made(runtime: A2ARuntime, task_id: str, words: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while words not in str(await runtime.manager.get(OWNER, task_id)):
            await asyncio.sleep(0.01)


async def test_a_killed_process_loses_nothing_of_what_works_elsewhere(
    database: Database, database_url: str
) -> None:
    async with peer_server() as peer, a2a(database, config=ANYWHERE) as witness:
        await register(witness, "poet", peer.card)
        victim, url = await victim_of(database_url, '{"agents_anywhere": true}')
        asked = message("chunks", metadata={"agent_id": "poet"})
        body = request("SendMessage", message=asked, configuration={"returnImmediately": True})
        async with httpx2.AsyncClient(base_url=url, headers={"a2a-version": "1.0"}) as http:
            sent: JsonObject = (await http.post("/a2a", json=body)).json()
        task_id = str(at(sent, "result", "task", "id"))
        await until_made(witness, task_id, "line 2")
        victim.send_signal(signal.SIGKILL)
        await victim.wait()
        async with a2a(database, config=ANYWHERE, clock=Later()) as heir:
            async with asyncio.timeout(PATIENCE):
                while heir.manager.inbound(task_id) is None:
                    await asyncio.sleep(0.01)
            peer.agent.go.set()
            task = await ended(heir, task_id)
        assert (state(task), said(task)) == ("completed", "six lines")
        assert lines(task) == LINES
        assert (len(peer.agent.seen), peer.agent.cancelled) == (1, [])


async def expire(database: Database, begun: Begun, **changes: str) -> None:
    """As if the process that began it had not been heard of for long."""
    holder = tasks.c.lease_owner == begun.record.lease_owner
    mine = update(tasks).where(tasks.c.task_id == begun.record.task_id, holder)
    past = datetime(2020, 1, 1, tzinfo=UTC)
    await database.write(mine.values(lease_until=past, **changes))


# Who follows under this lease renews it by itself long after the test.
SLOW = ANYWHERE.model_copy(update={"lease_seconds": 36_000.0})


async def test_who_stood_still_leaves_the_task_to_who_took_it_over(database: Database) -> None:
    async with scene(database, config=SLOW) as here:
        begun = await here.send("chunks")
        await here.until(begun, b"line 2")
        task_id = begun.record.task_id
        await expire(database, begun)
        async with a2a(database, config=ANYWHERE) as heir:
            await eventually(lambda: heir.manager.inbound(task_id))
            await here.runtime.upkeep.tend()
            here.peer.agent.go.set()
            task = await ended(heir, task_id)
        assert (state(task), lines(task)) == ("completed", LINES)
        assert here.peer.agent.cancelled == []


async def test_what_cannot_be_followed_again_fails(database: Database) -> None:
    async with scene(database, config=SLOW) as here:
        begun = await here.send("wait")
        task_id = begun.record.task_id
        await until_bound(database, task_id)
        await expire(database, begun, agent_id="gone")
        async with a2a(database, config=ANYWHERE) as heir:
            task = await ended(heir, task_id)
        assert (state(task), said(task)) == ("failed", LOST)
