"""A hosted agent that lets an agent elsewhere do the work, and tells its events as its own.

A broken stream is taken up again where it was; what the connection has lost is read from the
task. When ours ends first, the other one is cancelled: now, or later by ``Withdrawals``.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from agentcore.a2a_protocol.models.handover import EXTENSION, Handover, without_context
from agentcore.a2a_protocol.models.remote import RemoteAddress, RemoteTask
from agentcore.a2a_protocol.models.task import INTERRUPTED, TERMINAL, TaskState
from agentcore.a2a_protocol.models.turn import AGENT_NAMES
from agentcore.a2a_protocol.ports import InboundMessage, TaskHandle
from agentcore.a2a_protocol.remote.dialling import Peers
from agentcore.a2a_protocol.remote.errors import (
    RemoteAgentLost,
    RemoteAgentNotPrivate,
    RemoteAgentRefused,
    RemoteAgentSilent,
    RemoteAgentUnreachable,
    RemoteAgentUnreadable,
)
from agentcore.a2a_protocol.remote.store import RemoteTaskStore
from agentcore.a2a_protocol.tasks.content import part_json
from agentcore.a2a_protocol.tasks.relay import FAULT, MESSAGE, state_in
from agentcore.a2a_protocol.tasks.snapshot import ARTIFACT, STATUS, TASK
from agentcore.kit.clock import Clock
from agentcore.kit.errors import AgentCoreError
from agentcore.kit.jsonvalue import JsonObject, object_of
from agentcore.kit.supervisor import Supervisor

if TYPE_CHECKING:
    from agentcore.a2a_protocol.remote.connection import Peer

# Which playbook it is; its text is another matter.
STAMP = "stamp"
# How often in a row a stream is taken up again that brings nothing.
MOST_ATTEMPTS = 6
FIRST_BACKOFF, LONGEST_BACKOFF = 0.1, 5.0
# Together less than a cancelled agent gets to clean up.
LEARN_SECONDS, WITHDRAW_SECONDS = 2.0, 2.5
# For an agent that is slow to say which task it is; it was told its deadline, too.
PATIENCE_SECONDS = 600.0
FAULTS = (RemoteAgentUnreachable, RemoteAgentLost, RemoteAgentSilent)
# What servers answer who cannot stream this task: it has ended, or they never stream.
NO_STREAM = frozenset({-32004, -32003, -32601})

log = structlog.get_logger()


class RemoteAgent:
    def __init__(
        self,
        address: RemoteAddress,
        peers: Peers,
        tasks: RemoteTaskStore,
        *,
        supervisor: Supervisor,
        clock: Clock,
    ) -> None:
        self._address = address
        self._peers = peers
        self._tasks = tasks
        self._supervisor = supervisor
        self._clock = clock

    async def handle(self, message: InboundMessage, task: TaskHandle) -> None:
        """Let the other agent answer ``message``; ends as its task does.

        What goes wrong, by one of the errors of ``remote.errors``, is the reason of a failed task.
        """
        if message.principal.private and not self._address.trust.private:
            refused = RemoteAgentNotPrivate(self._address.agent_id, self._address.url)
            await task.relay(self._failed(refused))
            return
        handover = _handed_on(message, self._address, self._clock)
        peer = await self._peers.open(self._address, handover)
        bound = await self._tasks.find(task.task_id)
        _, holder = await self._tasks.holder(task.task_id)
        following = Following(peer, self._tasks, message, task, bound, holder, self._clock)
        work = self._supervisor.spawn(f"follow {task.task_id}", following.follow(handover))
        try:
            await asyncio.wait({work})
        except asyncio.CancelledError:
            # A task that has just begun there can be cancelled only when we know its name.
            await _learned(following, LEARN_SECONDS)
            if following.known.is_set():
                await self._stop(following, work)
            else:
                name = f"withdraw {task.task_id}"
                self._supervisor.spawn(name, self._stop_when_known(following, work))
            raise
        if following.fault is not None:
            await following.withdraw()
            await task.relay(self._failed(following.fault))

    async def _stop_when_known(self, following: Following, work: asyncio.Task[None]) -> None:
        try:
            await _learned(following, PATIENCE_SECONDS)
        finally:
            await self._stop(following, work)

    async def _stop(self, following: Following, work: asyncio.Task[None]) -> None:
        await self._supervisor.cancel(work)
        await following.withdraw()

    def _failed(self, error: AgentCoreError) -> JsonObject:
        """The end of our task, with what programs need to know of it."""
        fault: JsonObject = {"code": error.code, "retryable": error.retryable}
        said: JsonObject = {
            "parts": [{"text": error.in_words}],
            "metadata": {FAULT: {**fault, "agent_id": self._address.agent_id}},
        }
        status: JsonObject = {"state": TaskState.FAILED.value, MESSAGE: said}
        return {STATUS: {"status": status}}


@dataclass(slots=True)
class Following:
    """One turn of a task elsewhere."""

    peer: Peer
    tasks: RemoteTaskStore
    message: InboundMessage
    task: TaskHandle
    bound: RemoteTask | None
    holder: str | None
    clock: Clock
    last_event: str = ""
    over: bool = False
    # Something may have been lost between two streams.
    gap: bool = False
    waiting: JsonObject | None = None
    fault: AgentCoreError | None = None
    # Set when it is known which task it is, or that there is none.
    known: asyncio.Event = field(default_factory=asyncio.Event)

    async def follow(self, handover: Handover) -> None:
        """Until the turn is over there, or here; what goes wrong is kept."""
        try:
            await self._run(handover)
        except AgentCoreError as error:
            self.fault = error
        finally:
            self.known.set()

    async def _run(self, handover: Handover) -> None:
        if not self.message.resumed:
            await self._send(sending(self.message, self.bound, handover))
        elif self.bound is None:
            raise RemoteAgentLost(
                "the process that ran this task was lost before the agent answered"
            )
        attempts = 0
        while not self.over:
            heard, fault = await self._again()
            attempts = 0 if heard else attempts + 1
            if attempts >= MOST_ATTEMPTS:
                raise fault or RemoteAgentLost(
                    f"the agent {self.peer.address.agent_id!r} ended its stream {attempts} times "
                    "without an end of its task"
                )
            if not self.over:
                await self.clock.sleep(_backoff(attempts))

    async def withdraw(self) -> None:
        """Cancel the other task, if it can be done soon; else somebody else does it later."""
        if self.bound is None or self.over:
            return
        with suppress(AgentCoreError, TimeoutError):
            async with asyncio.timeout(WITHDRAW_SECONDS):
                state, holder = await self.tasks.holder(self.bound.task_id)
                if state not in TERMINAL and holder != self.holder:
                    # Another process thought this one dead, and follows it now.
                    return
                await self.peer.call("CancelTask", {"id": self.bound.remote_id})
                await self.tasks.ended(self.bound.task_id)

    async def _send(self, params: JsonObject) -> None:
        streaming = self.peer.address.streaming
        for attempt in range(MOST_ATTEMPTS):
            try:
                if streaming:
                    await self._read("SendStreamingMessage", params)
                else:
                    await self._take(await self.peer.call("SendMessage", params))
            except RemoteAgentUnreachable:
                if attempt + 1 == MOST_ATTEMPTS:
                    raise
                # Nothing has left: sending it again cannot do anything twice.
                await self.clock.sleep(_backoff(attempt))
                continue
            except FAULTS as fault:
                if self.bound is None:
                    raise
                log.info("a remote stream broke", task=self.task.task_id, reason=fault.detail)
            break
        if self.bound is None and not self.over:
            raise RemoteAgentUnreadable(
                f"the agent {self.peer.address.agent_id!r} answered without a task or a message"
            )

    async def _again(self) -> tuple[bool, AgentCoreError | None]:
        """Take the task up where it is: whether anything was heard, and what went wrong."""
        self.gap = True
        heard: list[bool] = []
        try:
            if not self.last_event or not self.peer.address.streaming:
                heard.append(await self._look())
            if not self.over and self.peer.address.streaming:
                await self._resubscribe(heard)
        except FAULTS as fault:
            return bool(heard), fault
        return any(heard), None

    async def _resubscribe(self, heard: list[bool]) -> None:
        before = self.last_event
        try:
            await self._read("SubscribeToTask", {"id": self._remote_id}, heard)
        except RemoteAgentRefused as refused:
            if refused.context.get("rpc") not in NO_STREAM:
                raise
            self.last_event = ""
            if before:
                heard.append(await self._look())

    async def _look(self) -> bool:
        """The task as it is now; whether that is news, or the agent is just at work."""
        return await self._take(await self.peer.call("GetTask", {"id": self._remote_id}))

    async def _read(self, method: str, params: JsonObject, heard: list[bool] | None = None) -> None:
        stream = self.peer.stream(method, params, last_event=self.last_event)
        async with aclosing(stream) as events:
            async for event, event_id in events:
                self.last_event = event_id or self.last_event
                if heard is not None:
                    heard.append(True)
                await self._take(event, numbered=bool(event_id))
                if self.over:
                    return
        if self.waiting is not None:
            await self._relay(self.waiting)

    async def _take(self, event: JsonObject, *, numbered: bool = False) -> bool:
        """Tell ``event`` here; true, for whoever asks whether the agent is alive.

        Servers that number their events go on exactly where a stream broke.
        """
        await self._bind(event)
        state = state_in(object_of(event.get(TASK)) or object_of(event.get(STATUS)))
        if TASK in event and state in INTERRUPTED and self.waiting is None and not self.gap:
            # A new turn may begin with the state in which the last one ended.
            self.waiting = event
            return True
        self.waiting = None
        repeated = ARTIFACT in event and not numbered
        if self.gap and (repeated or (STATUS in event and state in TERMINAL | INTERRUPTED)):
            # What happened while the task was looked at may come behind it once more.
            event = await self.peer.call("GetTask", {"id": self._remote_id})
        await self._relay(event)
        return True

    async def _relay(self, event: JsonObject) -> None:
        self.waiting = None
        state = state_in(object_of(event.get(TASK)) or object_of(event.get(STATUS)))
        over = MESSAGE in event or state in TERMINAL or state in INTERRUPTED
        await self.task.relay(event)
        self.over = over
        if over and state not in INTERRUPTED and self.bound is not None:
            await self.tasks.ended(self.bound.task_id)

    async def _bind(self, event: JsonObject) -> None:
        """Keep which task it is, before anybody hears of it."""
        task = object_of(event.get(TASK))
        update = object_of(event.get(STATUS)) or object_of(event.get(ARTIFACT))
        remote_id = str(task.get("id") or update.get("taskId") or "")
        if not remote_id or (self.bound is not None and self.bound.remote_id == remote_id):
            return
        self.bound = RemoteTask(
            task_id=self.task.task_id,
            agent_id=self.peer.address.agent_id,
            remote_id=remote_id,
            context_id=str(task.get("contextId") or update.get("contextId") or ""),
        )
        await self.tasks.bind(self.bound)
        self.known.set()

    @property
    def _remote_id(self) -> str:
        if self.bound is None:
            raise RemoteAgentUnreadable("the agent's task is not known")
        return self.bound.remote_id


async def _learned(following: Following, seconds: float) -> None:
    """Wait until it is known which task it is there, at most that long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await following.known.wait()


def sending(message: InboundMessage, bound: RemoteTask | None, handover: Handover) -> JsonObject:
    """``SendMessage`` for the other agent; repeated for the same message it is the same."""
    names = (*AGENT_NAMES, EXTENSION)
    said = {name: value for name, value in message.metadata.items() if name not in names}
    sent: JsonObject = {
        "messageId": f"{message.task_id}:{message.message_id}",
        "role": "ROLE_USER",
        "parts": [part_json(part) for part in message.parts],
        "metadata": {**without_context(said), EXTENSION: handover.as_json()},
        "extensions": [EXTENSION],
    }
    if bound is not None:
        sent |= {"taskId": bound.remote_id}
        sent |= {"contextId": bound.context_id} if bound.context_id else {}
    # Only agents that do not stream are asked this way, and followed by looking.
    return {"message": sent, "configuration": {"returnImmediately": True}}


def _handed_on(message: InboundMessage, address: RemoteAddress, clock: Clock) -> Handover:
    """What is left of what we were given, as far as it is for that agent."""
    changes: JsonObject = {"private": message.principal.private}
    if message.handover.playbook and not address.trust.playbooks:
        changes["playbook"] = {
            name: value for name, value in message.handover.playbook.items() if name == STAMP
        }
    if message.deadline is not None:
        left = (message.deadline - clock.now()).total_seconds()
        changes["deadline_seconds"] = round(max(left, 0.001), 3)
    return message.handover.model_copy(update=dict(changes))


def _backoff(attempt: int) -> float:
    return float(min(LONGEST_BACKOFF, FIRST_BACKOFF * 2**attempt))
