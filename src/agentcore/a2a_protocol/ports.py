"""What the A2A side needs from others, and what it offers to the agents that it hosts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from agentcore.a2a_protocol.discovery import Wish
from agentcore.a2a_protocol.models.agent import AgentHealth, AgentStatus
from agentcore.a2a_protocol.models.handover import NO_HANDOVER, Handover, Spent
from agentcore.a2a_protocol.models.task import Part, TaskRecord
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.security import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOutcome:
    """How a hosted agent's task ended; ``execution_time`` is in seconds.

    ``handover`` is what the task has kept of it, empty where nothing was handed on.
    """

    agent_id: str
    task_id: str
    tenant: str
    execution_time: float
    success: bool
    output_quality: float | None = None
    error_message: str | None = None
    tokens: int = 0
    cost_usd: Decimal | None = None
    playbook: JsonObject | None = None
    metadata: JsonObject = field(default_factory=dict)
    handover: JsonObject = field(default_factory=dict)


class HandoverLog(Protocol):
    async def began(self, record: TaskRecord, handover: Handover) -> Handover:
        """A task that another agent has handed on is stored; ``handover`` ends with its agent.

        Its budget may be smaller afterwards: others who were asked meanwhile have theirs first.
        """
        ...


class Spending(Protocol):
    async def below(self, task_id: str, tenant: str) -> Spent:
        """What those have cost that have worked for the task, directly and indirectly."""
        ...


class PlaybookContexts(Protocol):
    async def of(self, agent_id: str, task: str, principal: Principal) -> JsonObject | None:
        """The agent's playbook for ``task``, to be handed on; None where it has none.

        ``text`` is what was rendered, ``stamp`` says what that is.
        """
        ...


class TaskObserver(Protocol):
    async def task_finished(self, outcome: TaskOutcome) -> None:
        """Called for each task of a hosted agent when it has ended.

        Again where ``StorageUnavailable`` was raised, or the process was lost before all observers
        had heard of it; then without what the agent has reported of its run.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentEvent:
    """An agent's way from one state to the next; a new agent has none ``before``."""

    agent_id: str
    tenant: str
    owner: str
    name: str
    capabilities: tuple[str, ...] = ()
    before: AgentStatus | None = None
    after: AgentStatus = AgentStatus.ACTIVE


class LifecycleListener(Protocol):
    """Told of each event at least once, after it is committed, and again where it raised."""

    async def agent_registered(self, event: AgentEvent) -> None:
        """A new agent, or one that was terminated and begins anew."""
        ...

    async def agent_moved(self, event: AgentEvent) -> None:
        """Resumed, draining or suspended."""
        ...

    async def agent_terminated(self, event: AgentEvent) -> None: ...

    async def agent_erased(self, event: AgentEvent) -> None:
        """It is gone with all that the database had of it, or will be: told before and after, so
        that nobody shows it if whoever erases it dies in between.
        """
        ...


class Drains(Protocol):
    async def drained(self, agent_id: str) -> None:
        """The tasks of an agent that drains have ended; repeating it changes nothing."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An agent that a task could be given to.

    ``open_tasks`` are those that it works on now, of all callers. A ``hosted`` one runs inside the
    service; the others are at ``endpoint``, if it is known.
    """

    agent_id: str
    name: str
    status: AgentStatus
    health: AgentHealth
    score: int
    open_tasks: int
    capabilities: tuple[str, ...] = ()
    skills: tuple[JsonObject, ...] = ()
    hosted: bool = False
    endpoint: JsonObject | None = None
    card: JsonObject | None = None


class AgentDirectory(Protocol):
    """Agents as a caller may see them: those of the tenant, and those that the service hosts."""

    async def candidates(
        self, wish: Wish, principal: Principal, *, limit: int = 20
    ) -> Sequence[Candidate]:
        """Agents that fit and take new tasks, best match first; none is no error.

        Health and load are told, not judged: of equal matches the caller chooses.
        """
        ...

    async def candidate(self, agent_id: str, principal: Principal) -> Candidate:
        """The agent as it stands, whether or not it takes tasks; its score is 0.

        Raises:
            AgentNotFound: there is none, or it is another tenant's.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundMessage:
    """One message of a client to an agent; ``text`` joins its text parts by line breaks.

    After ``deadline`` the agent is cancelled and its task fails. ``handover`` is what the agents
    before have handed on, with this one as the last of its chain; ``traceparent`` is the place in a
    trace that the caller has named, if it has. ``resumed`` says that another
    process has begun to answer it and was lost.
    """

    message_id: str
    text: str
    data: tuple[JsonObject, ...]
    parts: tuple[Part, ...]
    metadata: JsonObject
    context_id: str
    task_id: str
    agent_id: str
    principal: Principal
    deadline: datetime | None = None
    handover: Handover = NO_HANDOVER
    traceparent: str = ""
    resumed: bool = False


class TaskHandle(Protocol):
    """What a hosted agent may do with its task; events keep the order of the calls.

    Watchers see an event only after it is stored. An agent that returns without ``complete``,
    ``fail`` or ``ask`` has completed with nothing to say; one that raises has failed.
    """

    @property
    def task_id(self) -> str: ...

    @property
    def context_id(self) -> str: ...

    @property
    def cancelled(self) -> bool:
        """The client has asked to stop; the coroutine is also cancelled."""
        ...

    async def progress(self, text: str) -> None:
        """State working, with ``text`` for those who watch."""
        ...

    async def artifact(self, name: str, *parts: Part | str | JsonObject) -> None:
        """One whole artifact; a string is a text part, a mapping a data part."""
        ...

    async def append(self, name: str, *parts: Part | str | JsonObject, last: bool = False) -> None:
        """A chunk of the artifact ``name``, which the first chunk begins and the last one ends."""
        ...

    async def ask(self, question: str) -> None:
        """Ends the turn in state input-required; the client's answer is a new message."""
        ...

    async def ask_authorization(self, text: str) -> None:
        """As ``ask``, in state auth-required: the client is to obtain what ``text`` says."""
        ...

    async def shown(self, playbook: JsonObject) -> None:
        """What the agent was shown of its playbook. Call it before using that: it is stored with
        the task, so that the task counts for it even if its process is killed.
        """
        ...

    async def complete(self, result: str | JsonObject | None = None) -> None: ...

    async def fail(self, reason: str) -> None: ...

    async def reject(self, reason: str) -> None:
        """The agent does not take the task on."""
        ...

    async def relay(self, event: JsonObject) -> None:
        """Take over an event of the task that works for this one elsewhere.

        ``event`` is a ``StreamResponse`` of A2A 1.0. Of a whole task only that is taken which is
        not here yet; a message ends this task.
        """
        ...

    def report(
        self,
        *,
        tokens: int = 0,
        cost_usd: Decimal | None = None,
        output_quality: float | None = None,
        playbook: JsonObject | None = None,
        metadata: JsonObject | None = None,
    ) -> None:
        """What ``TaskOutcome`` shall say; tokens and cost add up, the rest replaces."""
        ...


class HostedAgent(Protocol):
    """An agent that runs inside this process."""

    async def handle(self, message: InboundMessage, task: TaskHandle) -> None: ...
