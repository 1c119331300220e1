"""What a hosted agent holds of its task: what it says becomes events, in order."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal

from agentcore.a2a_protocol.errors import TaskEnded
from agentcore.a2a_protocol.models.handover import EXTENSION, SPENT, Spent
from agentcore.a2a_protocol.models.task import INTERRUPTED, TERMINAL, Part, TaskState
from agentcore.a2a_protocol.ports import Spending
from agentcore.a2a_protocol.tasks.content import agent_message, part_json, storable_text
from agentcore.a2a_protocol.tasks.journal import TaskJournal
from agentcore.a2a_protocol.tasks.relay import relayed, spent_in, state_in
from agentcore.a2a_protocol.tasks.snapshot import STATUS, TASK, artifact_event, status_event
from agentcore.kit.clock import Clock
from agentcore.kit.db import StorageUnavailable
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject, object_of

# The member of a task's metadata that says which playbook its agent was shown.
PLAYBOOK = "playbook"


@dataclass(slots=True, kw_only=True)
class Run:
    """What this process knows about a task beyond what is stored."""

    task_id: str
    agent_id: str
    began: float
    budget_usd: Decimal | None = None
    overspent: Callable[[str], object] = lambda _: None
    active: bool = True
    cancelled: bool = False
    seconds: float = 0.0
    tokens: int = 0
    cost_usd: Decimal | None = None
    # What others have cost that worked for it, as far as this process has seen to it.
    others_usd: Decimal = Decimal(0)
    output_quality: float | None = None
    playbook: JsonObject | None = None
    metadata: JsonObject = field(default_factory=dict)

    @property
    def spent(self) -> Spent:
        return Spent.model_construct(cost_usd=self.cost_usd, tokens=self.tokens)

    def take(self, told: Spent) -> None:
        """What the agent elsewhere has told behind its end: there is nothing left to stop."""
        self.tokens += told.tokens
        if told.cost_usd is not None:
            self.cost_usd = told.cost_usd + (self.cost_usd or 0)

    def report(
        self,
        *,
        tokens: int = 0,
        cost_usd: Decimal | None = None,
        output_quality: float | None = None,
        playbook: JsonObject | None = None,
        metadata: JsonObject | None = None,
    ) -> None:
        self.tokens += tokens
        if cost_usd is not None:
            self.cost_usd = cost_usd + (self.cost_usd or 0)
            whole = self.cost_usd + self.others_usd
            if self.budget_usd is not None and whole > self.budget_usd:
                self.overspent(f"the task has cost {whole} USD, its budget was {self.budget_usd}")
        if output_quality is not None:
            self.output_quality = output_quality
        if playbook is not None:
            self.playbook = playbook
        self.metadata = {**self.metadata, **(metadata or {})}


class HostedTask:
    """The ``TaskHandle`` of one turn."""

    def __init__(
        self, journal: TaskJournal, run: Run, *, spending: Spending, clock: Clock, ids: Ids
    ) -> None:
        self._journal = journal
        self._run = run
        self._spending = spending
        self.report = run.report
        self._clock = clock
        self._ids = ids
        self._artifacts: dict[str, str] = {}
        self.ended = False

    @property
    def task_id(self) -> str:
        return self._run.task_id

    @property
    def context_id(self) -> str:
        return self._journal.record.context_id

    @property
    def cancelled(self) -> bool:
        return self._run.cancelled

    async def progress(self, text: str) -> None:
        await self._say(TaskState.WORKING, text)

    async def artifact(self, name: str, *parts: Part | str | JsonObject) -> None:
        await self._artifact(str(self._ids.new()), name, parts, append=False, last=True)

    async def append(self, name: str, *parts: Part | str | JsonObject, last: bool = False) -> None:
        known = self._artifacts.get(name)
        artifact_id = known or str(self._ids.new())
        self._artifacts[name] = artifact_id
        await self._artifact(artifact_id, name, parts, append=known is not None, last=last)
        if last:
            del self._artifacts[name]

    async def ask(self, question: str) -> None:
        """Wait for the client: its next message to this task starts a new turn."""
        await self._say(TaskState.INPUT_REQUIRED, question)

    async def ask_authorization(self, text: str) -> None:
        await self._say(TaskState.AUTH_REQUIRED, text)

    async def shown(self, playbook: JsonObject) -> None:
        self._check_open()
        self._run.report(playbook=playbook)
        await self._journal.note({PLAYBOOK: playbook})

    async def complete(self, result: str | JsonObject | None = None) -> None:
        await self._say(TaskState.COMPLETED, result)

    async def fail(self, reason: str) -> None:
        await self._say(TaskState.FAILED, reason)

    async def reject(self, reason: str) -> None:
        await self._say(TaskState.REJECTED, reason)

    async def relay(self, event: JsonObject) -> None:
        self._check_open()
        if TASK in event:
            # What is here already is compared by what is stored.
            await self._journal.flush()
        snapshot, state = self._journal.snapshot, self._journal.state
        self._run.take(spent_in(event))
        for each in relayed(snapshot, event, state, now=self._clock.now(), ids=self._ids):
            self._journal.say(await self._with_cost(each))
        state = self._journal.state
        self.ended = state in TERMINAL or state in INTERRUPTED
        await (self._journal.flush() if self.ended else self._journal.room())

    def enter(self, state: TaskState) -> None:
        """A state without words."""
        self._journal.say(status_event(self._journal.snapshot.head, state, self._clock.now()))

    async def end(self, state: TaskState, reason: str | None) -> None:
        """The end of a turn that its agent has left open."""
        await self._told(state, reason)

    async def _say(self, state: TaskState, said: str | JsonObject | None) -> None:
        self._check_open()
        await self._told(state, said)

    async def _told(self, state: TaskState, said: str | JsonObject | None) -> None:
        self.ended = state in TERMINAL or state in INTERRUPTED
        message = None
        if said is not None:
            message = agent_message(
                str(self._ids.new()), self.task_id, self.context_id, [part_json(said)]
            )
        event = status_event(self._journal.snapshot.head, state, self._clock.now(), message)
        self._journal.say(await self._with_cost(event))
        await (self._journal.flush() if self.ended else self._journal.room())

    async def _with_cost(self, event: JsonObject) -> JsonObject:
        """The end of a task that was handed on says what all of it has cost."""
        update = object_of(event.get(STATUS))
        kept = object_of(self._journal.snapshot.head.get("metadata"))
        if EXTENSION not in kept or state_in(update) not in TERMINAL:
            return event
        spent = self._run.spent
        # Where the database is away, what is known here has to do.
        with suppress(StorageUnavailable):
            spent += await self._spending.below(self.task_id, self._journal.record.owner.tenant)
        if not spent:
            return event
        told: JsonObject = {SPENT: spent.as_json()}
        self._journal.keep(told)
        return {STATUS: {**update, "metadata": told}}

    async def _artifact(
        self,
        artifact_id: str,
        name: str,
        parts: tuple[Part | str | JsonObject, ...],
        *,
        append: bool,
        last: bool,
    ) -> None:
        self._check_open()
        artifact: JsonObject = {
            "artifactId": artifact_id,
            "name": storable_text(name),
            "parts": [part_json(part) for part in parts],
        }
        head = self._journal.snapshot.head
        self._journal.say(artifact_event(head, artifact, append=append, last=last))
        await self._journal.room()

    def _check_open(self) -> None:
        if self.ended or self._run.cancelled:
            raise TaskEnded(f"this turn of the task {self.task_id} is over")
