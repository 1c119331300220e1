"""Telling webhooks what a task's log says: each event, in order, at least once.

A webhook's place in the log is in the database, and one process at a time tells it; what dies
meanwhile is taken up by the next. One that does not answer is tried again, ever more rarely.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

import structlog

from agentcore.a2a_protocol.cards import Signer
from agentcore.a2a_protocol.late import LateWires
from agentcore.a2a_protocol.models.task import TaskEvent
from agentcore.a2a_protocol.push.late_session import LateSession
from agentcore.a2a_protocol.push.store import Push, PushStore
from agentcore.a2a_protocol.tasks.store import VersionedTaskStore
from agentcore.kit import jsonvalue
from agentcore.kit.clock import Clock
from agentcore.kit.db import StorageUnavailable
from agentcore.kit.jsonvalue import JsonObject, object_of

AT_ONCE = 32
PAGE = 100
LOOK_SECONDS = 1.0
# For this long nobody else tells a webhook that somebody has begun to tell.
CLAIM = timedelta(seconds=120)
# Then it is another one's turn. With the answer that is waited for, well within the claim: what was
# told under a lost claim does not count, so that it would be told again and again.
TELL_SECONDS = 20.0
FIRST_BACKOFF, LONGEST_BACKOFF = 1.0, 600.0
MOST_ATTEMPTS = 15
MEDIA_TYPE = {"1.0": "application/a2a+json", "0.3": "application/json"}

log = structlog.get_logger()


class PushSender:
    def __init__(
        self,
        pushes: PushStore,
        tasks: VersionedTaskStore,
        wires: LateWires,
        *,
        clock: Clock,
        anywhere: bool,
        signer: Signer | None = None,
    ) -> None:
        """With a ``signer`` webhooks can tell that it is this service that tells them."""
        self._pushes = pushes
        self._tasks = tasks
        self._wires = wires
        self._clock = clock
        self._anywhere = anywhere
        self._signer = signer
        self._news = asyncio.Event()

    def announce(self, task_id: str) -> None:
        """A task of this process has news; most have nobody who waits for them."""
        if self._pushes.knows(task_id):
            self._news.set()

    async def watch(self) -> None:
        """Tell whoever has something to hear; runs until cancelled."""
        async with LateSession(anywhere=self._anywhere) as session, asyncio.TaskGroup() as group:
            telling: set[asyncio.Task[None]] = set()
            while True:
                self._news.clear()
                begun = await self._begun(session, group, AT_ONCE - len(telling))
                for task in begun:
                    telling.add(task)
                    task.add_done_callback(telling.discard)
                if len(telling) >= AT_ONCE:
                    # One that is slow keeps its own place, and nobody else waiting.
                    await asyncio.wait(telling, return_when=asyncio.FIRST_COMPLETED)
                elif not begun:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_SECONDS):
                            await self._news.wait()

    async def tell_due(self, session: LateSession) -> int:
        """Tell those that are due, and return how many they were."""
        async with asyncio.TaskGroup() as group:
            return len(await self._begun(session, group, AT_ONCE))

    async def _begun(
        self, session: LateSession, group: asyncio.TaskGroup, most: int
    ) -> Sequence[asyncio.Task[None]]:
        now = self._clock.now()
        due = await self._pushes.due(now, now + CLAIM, most)
        return [group.create_task(self._told(session, push)) for push in due]

    async def _told(self, session: LateSession, push: Push) -> None:
        try:
            await self._tell(session, push)
        except StorageUnavailable as error:
            # It is told from the same place when its claim is over.
            log.warning("a webhook is told later", task_id=push.task_id, reason=error.detail)

    async def _tell(self, session: LateSession, push: Push) -> None:
        if not push.body:
            # Where secrets are being exchanged, another process may know the one it needs.
            await self._failed(push, push.delivered, "what it was encrypted with is not known")
            return
        delivered, end = push.delivered, self._clock.monotonic() + TELL_SECONDS
        events = await self._tasks.events(push.task_id, delivered, PAGE)
        for event in events:
            fault = await self._posted(session, push, event)
            if fault:
                await self._failed(push, delivered, fault)
                return
            delivered = event.seq
            if self._clock.monotonic() >= end:
                break
        if not events:  # the log has been let go since
            record = await self._tasks.peek(push.task_id)
            delivered = delivered if record is None else record.version
        await self._pushes.told(push, delivered, attempts=0, next_at=self._clock.now())

    async def _failed(self, push: Push, delivered: int, fault: str) -> None:
        attempts = push.attempts + 1 if delivered == push.delivered else 1
        wait = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** (attempts - 1))
        given_up = attempts >= MOST_ATTEMPTS
        again = None if given_up else self._clock.now() + timedelta(seconds=wait)
        if given_up:
            log.warning("a webhook is given up", task_id=push.task_id, reason=fault)
        await self._pushes.told(push, delivered, attempts=attempts, next_at=again)

    async def _posted(self, session: LateSession, push: Push, event: TaskEvent) -> str:
        """Why the webhook has not taken the event; empty when it has."""
        from agentcore.a2a_protocol.push.outside import FAULTS  # noqa: PLC0415 - aiohttp

        body = await self._body(push, event)
        if body is None:
            return ""
        try:
            async with session.opened().post(
                str(push.body["url"]),
                data=body,
                headers={**_headers(push), **self._signature(push, event, body)},
                allow_redirects=False,
            ) as response:
                return "" if 200 <= response.status < 300 else f"status {response.status}"
        except FAULTS as error:
            return type(error).__name__

    def _signature(self, push: Push, event: TaskEvent, body: bytes) -> dict[str, str]:
        """For whom it is, when, and what: so that it is of no use elsewhere, later, or again."""
        if self._signer is None:
            return {}
        said: JsonObject = {
            "aud": push.body["url"],
            "iat": int(self._clock.now().timestamp()),
            "jti": f"{push.task_id}:{push.config_id}:{event.seq}",
        }
        return {"x-a2a-signature": self._signer.detached(body, said)}

    async def _body(self, push: Push, event: TaskEvent) -> bytes | None:
        """1.0 tells the event; 0.3 tells the task, where its state has changed."""
        if push.family != "0.3":
            return event.body
        record = await self._tasks.peek(push.task_id) if event.state is not None else None
        if record is None:
            return None
        stored = await self._tasks.whole(push.task_id, record.owner)
        if stored is None:
            return None
        wire = await self._wires.previous()
        return jsonvalue.dumps(wire.write("GetTask", stored.snapshot.rendered()))


def _headers(push: Push) -> dict[str, str]:
    headers = {"content-type": MEDIA_TYPE.get(push.family, MEDIA_TYPE["1.0"])}
    if token := push.body.get("token"):
        headers["x-a2a-notification-token"] = str(token)
    how: JsonObject = object_of(push.body.get("authentication"))
    if how.get("scheme") and how.get("credentials"):
        headers["authorization"] = f"{how['scheme']} {how['credentials']}"
    return headers
