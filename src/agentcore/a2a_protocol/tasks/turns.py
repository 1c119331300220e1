"""Turns of hosted agents while they run in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from agentcore.a2a_protocol.errors import TaskEnded
from agentcore.a2a_protocol.hosting import Hosting
from agentcore.a2a_protocol.models.task import INTERRUPTED, TERMINAL, TaskRecord, TaskState
from agentcore.a2a_protocol.ports import InboundMessage, Spending
from agentcore.a2a_protocol.tasks.feeds import Feed, Feeds
from agentcore.a2a_protocol.tasks.handle import HostedTask, Run
from agentcore.a2a_protocol.tasks.journal import Desk, TaskJournal
from agentcore.a2a_protocol.tasks.reports import Reporter
from agentcore.a2a_protocol.tasks.signals import Signals
from agentcore.a2a_protocol.tasks.snapshot import TaskSnapshot
from agentcore.kit.errors import AgentCoreError
from agentcore.kit.ids import Ids

STOP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a turn shall end that does not end by itself."""

    state: TaskState
    reason: str = ""


class Live:
    """One turn under way. ``settled`` is set when it has ended, and its end is stored."""

    def __init__(self, run: Run, reporter: Reporter, signals: Signals) -> None:
        self.run = run
        self.settled = asyncio.Event()
        self.verdict: Verdict | None = None
        self.halted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reporter = reporter
        self._signals = signals

    def halt(self, verdict: Verdict | None = None) -> None:
        """Stop the agent; the first ``verdict`` is how the turn ends."""
        self.run.cancelled = True
        if not self.halted.done():
            self.verdict = verdict
            self.halted.set_result(None)

    def overspent(self, reason: str) -> None:
        self.halt(Verdict(TaskState.FAILED, reason))

    def committed(self, record: TaskRecord) -> None:
        self._signals.announce(record.task_id)
        if record.state in TERMINAL:
            self._reporter.ended(record)
        if record.state in TERMINAL or record.state in INTERRUPTED:
            self.settled.set()

    def overtaken(self) -> None:
        self.halt()
        self._reporter.settle(self.run.task_id)
        self.settled.set()


@dataclass(frozen=True, slots=True)
class Turn:
    """What a sender needs of a turn that it has begun."""

    live: Live
    journal: TaskJournal
    feed: Feed
    message: InboundMessage


class Turns:
    def __init__(
        self,
        desk: Desk,
        *,
        feeds: Feeds,
        reporter: Reporter,
        signals: Signals,
        spending: Spending,
        ids: Ids,
        cancel_seconds: float,
    ) -> None:
        self._spending = spending
        self._desk = desk
        self._feeds = feeds
        self._reporter = reporter
        self._signals = signals
        self._ids = ids
        self._cancel_seconds = cancel_seconds
        self._turns: dict[str, Turn] = {}
        self._places: dict[str, asyncio.Semaphore] = {}

    def __iter__(self) -> Iterator[Turn]:
        return iter(list(self._turns.values()))

    def find(self, task_id: str) -> Turn | None:
        return self._turns.get(task_id)

    def start(
        self,
        record: TaskRecord,
        snapshot: TaskSnapshot,
        hosting: Hosting,
        message: InboundMessage,
        *,
        seconds: float,
    ) -> Turn:
        """Let the agent work on ``message``, for at most that long; ``record`` is stored."""
        feed = self._feeds.hold(record.task_id, record.version)
        feed.local = True
        run = self._reporter.begin(record.task_id, hosting.agent_id)
        live = Live(run, self._reporter, self._signals)
        run.budget_usd, run.overspent = message.handover.budget_usd, live.overspent
        journal = TaskJournal(record, snapshot, desk=self._desk, feed=feed, owner=live)
        turn = self._turns[record.task_id] = Turn(live, journal, feed, message)
        self._desk.supervisor.spawn(
            f"task {record.task_id}", self._worked(turn, hosting, message, seconds)
        )
        return turn

    async def look(self, turn: Turn) -> None:
        """Somebody else may have written to the task."""
        await turn.journal.look()

    async def stop(self, reason: str) -> None:
        """End what runs here, and wait until that is stored."""
        turns = list(self)
        for turn in turns:
            turn.live.halt(Verdict(TaskState.FAILED, reason))
        with suppress(TimeoutError):
            async with asyncio.timeout(self._cancel_seconds + STOP_SECONDS):
                for turn in turns:
                    await turn.live.settled.wait()

    async def _worked(
        self, turn: Turn, hosting: Hosting, message: InboundMessage, seconds: float
    ) -> None:
        live, desk = turn.live, self._desk
        task = HostedTask(
            turn.journal, live.run, spending=self._spending, clock=desk.clock, ids=self._ids
        )
        try:
            async with self._place(hosting, live):
                if live.halted.done():
                    await self._conclude(turn, task, None)
                    return
                if turn.journal.state is TaskState.SUBMITTED:
                    task.enter(TaskState.WORKING)
                name = f"agent {hosting.agent_id} on {live.run.task_id}"
                work = desk.supervisor.spawn(name, hosting.agent.handle(message, task))
                await self._finished(work, live, seconds)
                await self._conclude(turn, task, work)
        finally:
            self._over(turn)

    def _over(self, turn: Turn) -> None:
        task_id = turn.live.run.task_id
        turn.journal.close()
        turn.feed.local = False
        if self._turns.get(task_id) is turn:
            del self._turns[task_id]
        self._feeds.let_go(task_id, turn.feed)
        self._reporter.pause(turn.live.run)
        turn.live.settled.set()

    @asynccontextmanager
    async def _place(self, hosting: Hosting, live: Live) -> AsyncIterator[None]:
        """A place among those that the agent works on at once; a halted turn needs none."""
        if not hosting.concurrency:
            yield
            return
        places = self._places.setdefault(hosting.agent_id, asyncio.Semaphore(hosting.concurrency))
        waiting = self._desk.supervisor.spawn(f"place {live.run.task_id}", _acquire(places))
        await asyncio.wait({waiting, live.halted}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            await self._desk.supervisor.cancel(waiting)
        try:
            yield
        finally:
            if not waiting.cancelled():
                places.release()

    async def _finished(self, work: asyncio.Task[None], live: Live, seconds: float) -> None:
        """Wait for the agent; cancel it when it shall stop, or has had its time."""
        try:
            await asyncio.wait(
                {work, live.halted}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if not work.done():
                reason = f"the deadline of {seconds:g} seconds has passed"
                live.halt(Verdict(TaskState.FAILED, reason))
        finally:
            if not work.done():
                live.run.cancelled = True
                work.cancel()
                await asyncio.wait({work}, timeout=self._cancel_seconds)

    async def _conclude(
        self, turn: Turn, task: HostedTask, work: asyncio.Task[None] | None
    ) -> None:
        """Write the end that the agent has left open."""
        try:
            if not task.ended and not turn.journal.overtaken:
                await task.end(*_end(turn.live.verdict, work))
        except TaskEnded:
            # Somebody else was faster: what is stored counts.
            return
        finally:
            await turn.journal.flush()


def _end(verdict: Verdict | None, work: asyncio.Task[None] | None) -> tuple[TaskState, str | None]:
    if verdict is not None:
        return verdict.state, verdict.reason or None
    if work is None or not work.done() or work.cancelled():
        return TaskState.FAILED, "the agent stopped without an answer"
    error = work.exception()
    if error is None:
        return TaskState.COMPLETED, None
    if isinstance(error, AgentCoreError):
        return TaskState.FAILED, error.in_words
    # The supervisor has logged it; its text may hold what is not the client's to read.
    return TaskState.FAILED, "the agent failed by an error of its own"


async def _acquire(places: asyncio.Semaphore) -> None:
    await places.acquire()
