"""Runs hosted agents for the SDK: messages in, task events out."""

from __future__ import annotations

import asyncio
from decimal import Decimal

from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events.event_queue import EventQueue
from a2a.types import a2a_pb2 as pb

from agentcore.a2a_protocol.errors import TaskEnded
from agentcore.a2a_protocol.hosting import Hosting
from agentcore.a2a_protocol.models.task import TERMINAL, Part, TaskState
from agentcore.a2a_protocol.ports import InboundMessage
from agentcore.a2a_protocol.sdk.context import CallerUser, user_of
from agentcore.a2a_protocol.sdk.task_store import AGENT_ID
from agentcore.a2a_protocol.sdk.values import (
    part_to,
    parts_from,
    status,
    storable_text,
    struct_to_json,
    texts,
)
from agentcore.a2a_protocol.task_manager import Run, TaskManager
from agentcore.kit.clock import Clock
from agentcore.kit.errors import AgentCoreError
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.supervisor import Supervisor


class HostedTask:
    """The ``TaskHandle`` of one turn: what the agent says becomes events of the task, in order."""

    def __init__(
        self, queue: EventQueue, run: Run, *, context_id: str, clock: Clock, ids: Ids
    ) -> None:
        self._queue = queue
        self._run = run
        self._context_id = context_id
        self._clock = clock
        self._ids = ids
        self.ended = False

    @property
    def task_id(self) -> str:
        return self._run.task_id

    @property
    def context_id(self) -> str:
        return self._context_id

    @property
    def cancelled(self) -> bool:
        return self._run.cancelled

    async def progress(self, text: str) -> None:
        await self._say(TaskState.WORKING, text)

    async def artifact(self, name: str, *parts: Part | str | JsonObject) -> None:
        self._check_open()
        artifact = pb.Artifact(
            artifact_id=str(self._ids.new()),
            name=storable_text(name),
            parts=[part_to(part) for part in parts],
        )
        await self._queue.enqueue_event(
            pb.TaskArtifactUpdateEvent(
                task_id=self.task_id,
                context_id=self._context_id,
                artifact=artifact,
                last_chunk=True,
            )
        )

    async def ask(self, question: str) -> None:
        """Wait for the client: its next message to this task starts a new turn."""
        await self._say(TaskState.INPUT_REQUIRED, question)

    async def complete(self, result: str | JsonObject | None = None) -> None:
        await self._say(TaskState.COMPLETED, result)

    async def fail(self, reason: str) -> None:
        await self._say(TaskState.FAILED, reason)

    def report(
        self,
        *,
        tokens: int = 0,
        cost_usd: Decimal | None = None,
        output_quality: float | None = None,
        playbook: JsonObject | None = None,
        metadata: JsonObject | None = None,
    ) -> None:
        self._run.report(
            tokens=tokens,
            cost_usd=cost_usd,
            output_quality=output_quality,
            playbook=playbook,
            metadata=metadata,
        )

    async def enter(self, state: TaskState) -> None:
        """A state without words."""
        await self._queue.enqueue_event(self._update(state, None))

    async def _say(self, state: TaskState, said: str | JsonObject | None) -> None:
        self._check_open()
        self.ended = state in TERMINAL or state is TaskState.INPUT_REQUIRED
        message = None
        if said is not None:
            message = pb.Message(
                message_id=str(self._ids.new()),
                task_id=self.task_id,
                context_id=self._context_id,
                role=pb.Role.ROLE_AGENT,
                parts=[part_to(said)],
            )
        await self._queue.enqueue_event(self._update(state, message))

    def _update(self, state: TaskState, message: pb.Message | None) -> pb.TaskStatusUpdateEvent:
        return pb.TaskStatusUpdateEvent(
            task_id=self.task_id,
            context_id=self._context_id,
            status=status(state, self._clock.now(), message),
        )

    def _check_open(self) -> None:
        if self.ended or self._run.cancelled:
            raise TaskEnded(f"this turn of the task {self.task_id} is over")


class HostedExecutor(AgentExecutor):
    def __init__(
        self,
        manager: TaskManager,
        *,
        supervisor: Supervisor,
        clock: Clock,
        ids: Ids,
        cancel_seconds: float,
    ) -> None:
        self._manager = manager
        self._supervisor = supervisor
        self._clock = clock
        self._ids = ids
        self._cancel_seconds = cancel_seconds

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        user, message = user_of(context.call_context), context.message
        hosting, task_id = user.hosting, context.task_id
        if hosting is None or message is None or task_id is None:
            raise RuntimeError("a message has reached no agent")
        run = self._manager.begin(task_id, hosting.agent_id)
        task = HostedTask(
            event_queue, run, context_id=message.context_id, clock=self._clock, ids=self._ids
        )
        if context.current_task is None:
            await event_queue.enqueue_event(self._first(message, hosting))
        await task.enter(TaskState.WORKING)
        await self._work(hosting, inbound(context, user, hosting), task, run)

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        task_id = context.task_id or ""
        run = self._manager.cancelling(task_id)
        task = HostedTask(
            event_queue, run, context_id=context.context_id or "", clock=self._clock, ids=self._ids
        )
        await task.enter(TaskState.CANCELED)

    async def _work(
        self, hosting: Hosting, message: InboundMessage, task: HostedTask, run: Run
    ) -> None:
        name = f"agent {hosting.agent_id} on {task.task_id}"
        work = self._supervisor.spawn(name, hosting.agent.handle(message, task))
        run.stop = work.cancel
        try:
            await self._finished(work, run)
        finally:
            self._manager.pause(run)
        await self._conclude(work, task)

    async def _finished(self, work: asyncio.Task[None], run: Run) -> None:
        try:
            await asyncio.wait({work})
        finally:
            if not work.done():  # the client cancelled, or the service stops
                run.cancelled = True
                work.cancel()
                await asyncio.wait({work}, timeout=self._cancel_seconds)

    async def _conclude(self, work: asyncio.Task[None], task: HostedTask) -> None:
        if task.ended or task.cancelled:
            return
        if work.cancelled():
            # By itself, or by the manager because the task has ended elsewhere: then this write
            # comes too late, and the SDK looks at what is stored.
            await task.fail("the agent stopped without an answer")
            return
        error = work.exception()
        if error is None:
            await task.complete()
        elif isinstance(error, AgentCoreError):
            await task.fail(f"{error.detail} {error.hint}".strip())
        else:
            # The supervisor has logged it; its text may hold what is not the client's to read.
            await task.fail("the agent failed by an error of its own")

    def _first(self, message: pb.Message, hosting: Hosting) -> pb.Task:
        task = pb.Task(
            id=message.task_id,
            context_id=message.context_id,
            status=status(TaskState.SUBMITTED, self._clock.now()),
            history=[message],
        )
        task.metadata.update({AGENT_ID: hosting.agent_id})
        return task


def inbound(context: RequestContext, user: CallerUser, hosting: Hosting) -> InboundMessage:
    message = context.message
    if message is None:
        raise RuntimeError("a turn without a message")
    parts = parts_from(message)
    return InboundMessage(
        message_id=message.message_id,
        text=texts(parts),
        data=tuple(part.data for part in parts if isinstance(part.data, dict)),
        parts=parts,
        metadata={**context.metadata, **struct_to_json(message)},
        context_id=message.context_id,
        task_id=message.task_id,
        agent_id=hosting.agent_id,
        principal=user.principal,
    )
