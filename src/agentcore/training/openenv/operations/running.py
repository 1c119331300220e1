"""Who does what operations ask for: one worker in each replica, and callers who wait themselves.

A worker that dies lets its lease run out, and another one, or the next start, begins the work
again: handlers must bear that. Cancelled callers leave a failed operation, not one that goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from uuid import UUID

import anyio
import structlog

from agentcore.kit.clock import Clock
from agentcore.kit.db import StorageUnavailable
from agentcore.kit.errors import AgentCoreError, InternalError, problem, said_by
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.operations.errors import (
    OperationCancelled,
    OperationInterrupted,
    OperationNotFound,
)
from agentcore.training.openenv.operations.models import Operation, OperationKind
from agentcore.training.openenv.operations.store import OperationStore

Handler = Callable[[JsonObject], Awaitable[JsonObject]]
LEASE = timedelta(seconds=30)
RENEW_SECONDS = 10.0
# How often a worker looks for what others left behind; its own process tells it of new work.
POLL_SECONDS = 15.0
MOST_AT_ONCE = 4
MOST_ATTEMPTS = 5
KEPT = timedelta(days=7)

log = structlog.get_logger()


class Operations:
    def __init__(self, store: OperationStore, *, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._handlers: Mapping[OperationKind, Handler] = {}
        self._news = asyncio.Event()

    def handle(self, handlers: Mapping[OperationKind, Handler]) -> None:
        """Before anything runs: who does which kind, with an operation's arguments."""
        self._handlers = handlers

    async def submit(
        self, kind: OperationKind, target: str, arguments: JsonObject, *, requested_by: str
    ) -> Operation:
        """Write it down for a worker; raises ``OperationUnderWay``."""
        operation = self._new(kind, target, arguments, requested_by)
        await self._store.forget(self._clock.now() - KEPT)
        await self._store.add(operation, None)
        self._news.set()
        return operation

    async def perform(
        self, kind: OperationKind, target: str, arguments: JsonObject, *, requested_by: str
    ) -> JsonObject:
        """Do it here and wait for it; what it raises is raised, and recorded.

        Raises:
            OperationUnderWay: another operation works on the target.
        """
        begun = {"state": "running", "attempts": 1}
        operation = self._new(kind, target, arguments, requested_by).model_copy(update=begun)
        try:
            await self._store.add(operation, self._lease())
        except asyncio.CancelledError:
            # It may have been written down all the same.
            await self._given_up(operation)
            raise
        try:
            result = await self._held(operation)
        except asyncio.CancelledError:
            await self._given_up(operation)
            raise
        except AgentCoreError as error:
            await self._failed(operation, error)
            raise
        except Exception as error:
            await self._failed(operation, _broken_off(error))
            raise
        await self._store.finish(operation, result=result, error=None, at=self._clock.now())
        return result

    async def under_way(self, target: str) -> bool:
        return await self._store.under_way(target) is not None

    async def get(self, id_: UUID) -> Operation:
        operation = await self._store.get(id_)
        if operation is None:
            raise OperationNotFound(
                f"there is no operation {str(id_)!r}", hint=f"they are kept for {KEPT.days} days"
            )
        return operation

    async def run(self) -> None:
        """Work on what was submitted, here or by a replica that died; runs until cancelled."""
        slots = asyncio.Semaphore(MOST_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            while True:
                await slots.acquire()
                operation = await self._next()
                task = group.create_task(self._work(operation))
                task.add_done_callback(lambda _: slots.release())

    async def _next(self) -> Operation:
        while True:
            self._news.clear()
            now = self._clock.now()
            try:
                operation = await self._store.take(now=now, until=self._lease())
            except StorageUnavailable as error:
                log.warning("operations cannot be taken", error=error.detail)
                operation = None
            if operation is not None:
                return operation
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def _work(self, operation: Operation) -> None:
        try:
            await self._ended(operation)
        except StorageUnavailable as error:
            # Nobody holds it for longer than its lease, and then it is begun anew.
            log.warning("the end of an operation is not recorded", error=error.detail)

    async def _ended(self, operation: Operation) -> None:
        """Bring it to its recorded end: nothing that a handler does ends the others' work."""
        if operation.attempts > MOST_ATTEMPTS:
            error = OperationInterrupted(f"it was begun {MOST_ATTEMPTS} times and never ended")
            await self._failed(operation, error)
            return
        try:
            result = await self._held(operation)
        except asyncio.CancelledError:
            # This process stops: the next one need not wait for the lease to run out.
            with anyio.CancelScope(shield=True):
                await self._store.lease(operation, None)
            raise
        except AgentCoreError as error:
            await self._failed(operation, error)
        except Exception as error:
            log.exception("an operation broke off", operation=str(operation.id))
            await self._failed(operation, _broken_off(error))
        else:
            await self._store.finish(operation, result=result, error=None, at=self._clock.now())

    async def _held(self, operation: Operation) -> JsonObject:
        """What the handler makes of it; the lease is renewed meanwhile."""
        try:
            async with asyncio.TaskGroup() as group:
                renewing = group.create_task(self._renew(operation))
                result = await self._handlers[operation.kind](operation.arguments)
                renewing.cancel()
        except ExceptionGroup as failed:
            # Out of the group's hands: it wraps what callers know by its class.
            raise failed.exceptions[0] from failed.exceptions[0].__cause__
        return result

    async def _renew(self, operation: Operation) -> None:
        while True:
            await self._clock.sleep(RENEW_SECONDS)
            try:
                await self._store.lease(operation, self._lease())
            except StorageUnavailable as error:
                log.warning("an operation's lease is not renewed", error=error.detail)

    async def _given_up(self, operation: Operation) -> None:
        with anyio.CancelScope(shield=True):
            await self._failed(operation, OperationCancelled("its caller gave up waiting"))

    async def _failed(self, operation: Operation, error: AgentCoreError) -> None:
        log.warning(
            "operation failed",
            operation=str(operation.id),
            kind=operation.kind,
            target=operation.target,
            error=error.detail,
        )
        await self._store.finish(operation, result=None, error=problem(error), at=self._clock.now())

    def _new(
        self, kind: OperationKind, target: str, arguments: JsonObject, requested_by: str
    ) -> Operation:
        return Operation(
            id=self._ids.new(),
            kind=kind,
            target=target,
            arguments=arguments,
            requested_by=requested_by,
            created_at=self._clock.now(),
        )

    def _lease(self) -> datetime:
        return self._clock.now() + LEASE


def _broken_off(error: Exception) -> InternalError:
    return InternalError(f"it broke off: {said_by(error)}", hint="the service's log says more")
