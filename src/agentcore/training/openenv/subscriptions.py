"""A watcher's view of a session: its journal as a stream of JSON-RPC notifications."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

from agentcore.kit.jsonvalue import JsonObject, dumps
from agentcore.kit.server_events import HEARTBEAT, ServerEvent
from agentcore.training.openenv.adapters import STATE_CHANGED
from agentcore.training.openenv.journal import Entry, Gap, Journal, Reader


class Subscription:
    """Ends with the session, or with the service; ``closed`` tells which.

    A watcher that is slower than the session loses the oldest events and is told by one of kind
    ``gap``, which has no id of its own.
    """

    def __init__(
        self,
        journal: Journal,
        after: str | None,
        *,
        session_id: str,
        closed: Callable[[], bool],
        heartbeat_seconds: float,
    ) -> None:
        self._reader: Reader = journal.reader(after)
        self._session_id = session_id
        self._closed = closed
        self._heartbeat_seconds = heartbeat_seconds
        self._last = ""

    @property
    def closed(self) -> bool:
        return self._closed()

    def result(self) -> JsonObject:
        """The answer to the call that asked for the events, when there are no more."""
        return {
            "session_id": self._session_id,
            "closed": self.closed,
            "last_event_id": self._last or None,
        }

    async def __aiter__(self) -> AsyncGenerator[ServerEvent]:
        try:
            while True:
                try:
                    async with asyncio.timeout(self._heartbeat_seconds):
                        found = await self._reader.read()
                except TimeoutError:
                    yield HEARTBEAT
                    continue
                if not found:
                    return
                for each in found:
                    yield self._event(each)
        finally:
            self._reader.close()

    def _event(self, found: Entry | Gap) -> ServerEvent:
        if isinstance(found, Entry):
            self._last = found.id
            return ServerEvent(found.data, found.id)
        params: JsonObject = {
            "state": {},
            "metadata": {},
            "session_id": self._session_id,
            "kind": "gap",
            "missed": found.missed,
        }
        return ServerEvent(dumps({"jsonrpc": "2.0", "method": STATE_CHANGED, "params": params}))
