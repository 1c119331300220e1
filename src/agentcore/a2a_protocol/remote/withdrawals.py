"""Cancelling tasks elsewhere whose task here has ended without them: after a crash, a lost line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from agentcore.a2a_protocol.models.handover import NO_HANDOVER
from agentcore.a2a_protocol.models.remote import RemoteAddress, RemoteTask
from agentcore.a2a_protocol.models.task import Owner
from agentcore.a2a_protocol.remote.dialling import Peers
from agentcore.a2a_protocol.remote.errors import RemoteAgentRefused
from agentcore.a2a_protocol.remote.store import RemoteTaskStore
from agentcore.kit.clock import Clock
from agentcore.kit.errors import AgentCoreError

LOOK_SECONDS = 5.0
CLAIM = timedelta(seconds=10)
# Within the claim.
CANCEL_SECONDS = 5.0
AT_ONCE = 16
MOST_ATTEMPTS = 8
FIRST_BACKOFF = 10.0

Locate = Callable[[str, Owner], Awaitable[RemoteAddress]]

log = structlog.get_logger()


class Withdrawals:
    """``locate`` finds the agent of that id as its owner's tenant sees it."""

    def __init__(self, store: RemoteTaskStore, peers: Peers, locate: Locate, clock: Clock) -> None:
        self._store = store
        self._peers = peers
        self._locate = locate
        self._clock = clock

    async def watch(self) -> None:
        """Runs until cancelled."""
        while True:
            await self.withdraw_due()
            await asyncio.sleep(LOOK_SECONDS)

    async def withdraw_due(self) -> int:
        """Cancel those that are due, each once; how many there were."""
        due = await self._store.forsaken(self._clock.now(), CLAIM, AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for bound, owner in due:
                group.create_task(self._withdraw(bound, owner))
        return len(due)

    async def _withdraw(self, bound: RemoteTask, owner: Owner) -> None:
        try:
            # A silent agent holds up nobody, and is asked by one process at a time.
            async with asyncio.timeout(CANCEL_SECONDS):
                address = await self._locate(bound.agent_id, owner)
                peer = await self._peers.open(address, NO_HANDOVER)
                await peer.call("CancelTask", {"id": bound.remote_id})
        except RemoteAgentRefused:
            # It has ended by itself, or is not known there any more.
            pass
        except TimeoutError:
            await self._later(bound, f"no answer within {CANCEL_SECONDS:g} seconds")
            return
        except AgentCoreError as error:
            await self._later(bound, error.detail)
            return
        await self._store.ended(bound.task_id)

    async def _later(self, bound: RemoteTask, reason: str) -> None:
        if bound.attempts >= MOST_ATTEMPTS:
            log.warning("a task elsewhere goes on", task=bound.task_id, reason=reason)
            await self._store.postpone(bound.task_id, None)
            return
        wait = timedelta(seconds=FIRST_BACKOFF * 2.0 ** (bound.attempts - 1))
        await self._store.postpone(bound.task_id, self._clock.now() + wait)
