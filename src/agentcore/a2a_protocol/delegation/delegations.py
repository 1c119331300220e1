"""``agent.delegate``: choose an agent, hand the task on, follow it, and say what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from weakref import WeakValueDictionary

from agentcore.a2a_protocol.delegation.choosing import in_order
from agentcore.a2a_protocol.delegation.models import Delegation
from agentcore.a2a_protocol.delegation.store import InteractionStore
from agentcore.a2a_protocol.discovery import Wish
from agentcore.a2a_protocol.dispatcher import CallContext
from agentcore.a2a_protocol.errors import InvalidParams, NoAgentForTask, UnsupportedOperation
from agentcore.a2a_protocol.handovers import (
    SHORTEST_SECONDS,
    Station,
    caller_for,
    kept_in,
    metadata_of,
    narrowed,
    read,
)
from agentcore.a2a_protocol.late import LateWires
from agentcore.a2a_protocol.models.handover import (
    EXTENSION,
    LONGEST_NAME,
    NO_HANDOVER,
    Handover,
    Spent,
    told_spent,
)
from agentcore.a2a_protocol.models.task import TERMINAL, TaskState
from agentcore.a2a_protocol.models.turn import AGENT_NAMES, Sent
from agentcore.a2a_protocol.ports import AgentDirectory, Candidate, PlaybookContexts
from agentcore.a2a_protocol.preflight import check_sending
from agentcore.a2a_protocol.task_manager import Begun, TaskManager
from agentcore.a2a_protocol.tasks.content import part_json, parts_of, texts
from agentcore.a2a_protocol.tasks.relay import FAULT, state_in
from agentcore.a2a_protocol.tasks.snapshot import status_text
from agentcore.a2a_protocol.views import owner_of
from agentcore.kit.clock import Clock
from agentcore.kit.errors import AgentCoreError
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject, JsonValue, object_of, objects_of
from agentcore.kit.security import Principal
from agentcore.kit.supervisor import Supervisor

# How many agents are asked for one task, one after the other.
MOST_ASKED = 3
USER = "ROLE_USER"
# The agent has not begun: another one may.
NOT_BEGUN = frozenset({"agent_unreachable", "agent_address_refused", "agent_not_private"})


@dataclass(frozen=True, slots=True)
class Attempt:
    """``task`` as it was left, or the ``error`` that kept it from beginning.

    It is not ``mine`` where another call with the same message has begun it.
    """

    agent_id: str
    task: JsonObject | None = None
    error: AgentCoreError | None = None
    mine: bool = True

    @property
    def state(self) -> TaskState | None:
        return None if self.task is None else state_in(self.task)

    @property
    def code(self) -> str | None:
        if self.error is not None:
            return self.error.code
        message = object_of(object_of(object_of(self.task).get("status")).get("message"))
        code = object_of(object_of(message.get("metadata")).get(FAULT)).get("code")
        return code if isinstance(code, str) else None

    @property
    def reason(self) -> str | None:
        """Why there is no whole result."""
        if self.error is not None:
            return self.error.in_words
        if self.task is None or self.state is TaskState.COMPLETED:
            return None
        said = status_text(self.task)
        return said or ("it is still at work" if self.state not in TERMINAL else str(self.state))

    @property
    def spent(self) -> Spent:
        """What the agent has told of its cost, and of the cost of those that it has asked."""
        return told_spent(metadata_of(object_of(self.task)))

    @property
    def undone(self) -> bool:
        """Nothing has been done: it makes sense to ask somebody else."""
        return (
            self.error is not None
            or self.state is TaskState.REJECTED
            or (self.state is TaskState.FAILED and self.code in NOT_BEGUN)
        )

    def as_json(self) -> JsonObject:
        return {
            "agent_id": self.agent_id,
            "task_id": None if self.task is None else self.task["id"],
            "state": None if self.state is None else self.state.value,
            "code": self.code,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Hands:
    """What delegating needs of the rest."""

    directory: AgentDirectory
    manager: TaskManager
    station: Station
    interactions: InteractionStore
    playbooks: PlaybookContexts
    wires: LateWires
    supervisor: Supervisor
    clock: Clock
    ids: Ids


class Delegations:
    def __init__(self, hands: Hands) -> None:
        self._hands = hands
        # By the task on whose behalf something is asked.
        self._lines: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def delegate(self, wanted: Delegation, context: CallContext) -> JsonObject:
        """Have ``wanted`` done by one agent, asking others where it was not begun.

        Asked for again, with the same id in its message, it is the task that it was before.

        Returns:
            The ``task`` as it is when it has ended, asks for something, or the time to wait is
            over; ``partial`` and ``reason`` where that is no whole result; all ``attempts``.

        Raises:
            InvalidParams: neither an agent nor what it shall be able to do is named.
            TaskNotFound: the task on whose behalf it is asked is not the caller's.
            NoAgentForTask: nobody who fits has begun it.
            AgentCoreError: what kept the one agent that was named from beginning.
        """
        if wanted.target_agent is None and not wanted.capabilities and not wanted.skills:
            raise InvalidParams(
                "agent.delegate names no agent and nothing that it shall be able to do",
                hint="give target_agent, or capabilities, or skills",
            )
        wanted = await self._checked(wanted)
        attempts = await self._earlier(wanted, context.principal)
        if attempts and not attempts[-1].undone:
            return _result(attempts, wanted)
        given = await self._given(wanted, context)
        for candidate in (await self._candidates(wanted, given, context))[:MOST_ASKED]:
            attempt = await self._attempt(candidate, wanted, given, context, len(_stored(attempts)))
            # Meanwhile the same delegation may have asked others, by another call.
            while attempt.undone and not attempt.mine:
                attempts.append(attempt)
                number = len(_stored(attempts))
                attempt = await self._attempt(candidate, wanted, given, context, number)
            attempts.append(attempt)
            if not attempt.undone:
                break
        return _result(attempts, wanted)

    async def _checked(self, wanted: Delegation) -> Delegation:
        """A message of A2A has to be one that could be sent."""
        if not wanted.whole:
            return wanted
        message: JsonObject = {"role": USER, "messageId": str(self._hands.ids.new())}
        params: JsonObject = {"message": {**message, **wanted.whole}}
        check_sending(params)
        wire = await self._hands.wires.current()
        read = object_of(wire.read("SendMessage", {"params": params})["message"])
        if "messageId" not in wanted.whole:
            # Nobody can repeat an id that was made up here.
            del read["messageId"]
        return wanted.model_copy(update={"message": read})

    async def _earlier(self, wanted: Delegation, principal: Principal) -> list[Attempt]:
        """What the same delegation has led to when it was asked for before."""
        attempts: list[Attempt] = []
        while repeats := wanted.repeats(len(attempts)):
            again = Sent(principal=principal, message={}, repeats=repeats)
            begun = await self._hands.manager.known(again)
            if begun is None:
                break
            attempts.append(await self._settled(begun, wanted))
        return attempts

    async def _given(self, wanted: Delegation, context: CallContext) -> Handover:
        """All that is left to be handed on: of the task before, of the message, of the caller."""
        hands = self._hands
        before = NO_HANDOVER
        if wanted.task_id is not None:
            before = await self._left_of(wanted.task_id, context.principal)
        elif context.source_agent:
            if len(context.source_agent) > LONGEST_NAME:
                raise InvalidParams(f"source_agent has more than {LONGEST_NAME} characters")
            before = Handover(chain=(hands.station.hop(context.source_agent),))
        said = object_of(wanted.message if isinstance(wanted.message, dict) else None)
        brought = read(object_of(said.get("metadata")).get(EXTENSION))
        given = narrowed(before, brought)
        own = Handover(budget_usd=wanted.budget_usd, private=wanted.private)
        given = narrowed(given, own)
        times = (before.deadline_seconds, brought.deadline_seconds, wanted.deadline_seconds)
        return given.model_copy(
            update={
                "chain": before.chain or brought.chain,
                "deadline_seconds": min((each for each in times if each), default=None),
                "traceparent": given.traceparent
                or context.traceparent
                or hands.station.trace(context.trace_id),
                "private": given.private or context.principal.private,
                "playbook": brought.playbook or await self._playbook(given, wanted, context),
            }
        )

    async def _left_of(self, task_id: str, principal: Principal) -> Handover:
        """What the task has left of time and money, and where it has been."""
        hands = self._hands
        stored = await hands.manager.find(owner_of(principal), task_id)
        record = stored.record
        if record.state in TERMINAL:
            raise UnsupportedOperation(f"the task {task_id} has ended: {record.state}")
        running = hands.manager.inbound(task_id)
        if running is None:
            mine, cost = hands.station.hop(record.agent_id, task_id), Decimal(0)
            given = kept_in(record.body, mine, hands.clock.now())
        else:
            message, spent = running
            given, cost = message.handover, spent
            if message.deadline is not None:
                left = (message.deadline - hands.clock.now()).total_seconds()
                given = given.model_copy(update={"deadline_seconds": max(left, SHORTEST_SECONDS)})
        if given.budget_usd is None:
            return given
        others = await hands.interactions.spent(task_id, record.owner.tenant)
        left_usd = given.budget_usd - cost - others
        return given.model_copy(update={"budget_usd": max(left_usd, Decimal(0))})

    async def _playbook(
        self, given: Handover, wanted: Delegation, context: CallContext
    ) -> JsonObject | None:
        """What the agent that hands on works by."""
        source = given.chain[-1] if given.chain else None
        if source is None or source.installation != self._hands.station.installation:
            return None
        # Whose task it is has seen what its agent works by; others must be allowed to read it.
        if wanted.task_id is None and not context.principal.may("context:read"):
            return None
        return await self._hands.playbooks.of(source.agent, _text_of(wanted), context.principal)

    async def _candidates(
        self, wanted: Delegation, given: Handover, context: CallContext
    ) -> Sequence[Candidate]:
        directory = self._hands.directory
        if wanted.target_agent is not None:
            return [await directory.candidate(wanted.target_agent, context.principal)]
        wish = Wish(capabilities=wanted.capabilities, skills=wanted.skills)
        found = await directory.candidates(wish, context.principal, limit=100)
        here = self._hands.station.installation
        been = {hop.agent for hop in given.chain if hop.installation == here}
        ordered = in_order(found, been)
        if not ordered:
            raise NoAgentForTask(
                f"no agent can do {', '.join((*wanted.capabilities, *wanted.skills))}"
                + (f" but those that have handed it on: {', '.join(sorted(been))}" if been else ""),
                hint="agent.discover lists the agents of your tenant",
            )
        return ordered

    async def _attempt(
        self,
        candidate: Candidate,
        wanted: Delegation,
        given: Handover,
        context: CallContext,
        number: int,
    ) -> Attempt:
        """Ask the candidate; it is what came of that ``number`` before, if it was asked for."""
        hands = self._hands

        def sent(given: Handover) -> Sent:
            return Sent(
                principal=caller_for(context.principal, given),
                message=self._message(wanted, candidate.agent_id, given),
                traceparent=hands.station.onward(str(given.traceparent)),
                repeats=wanted.repeats(number),
            )

        try:
            begun = await self._begun(wanted, given, context.principal, sent)
        except AgentCoreError as error:
            return Attempt(candidate.agent_id, error=error)
        try:
            return await self._settled(begun, wanted)
        except asyncio.CancelledError:
            # Who asked is gone: nobody waits for the answer any more.
            hands.supervisor.spawn(f"withdraw {begun.record.task_id}", self._cancel(begun))
            raise

    async def _begun(
        self,
        wanted: Delegation,
        given: Handover,
        principal: Principal,
        sent: Callable[[Handover], Sent],
    ) -> Begun:
        if wanted.task_id is None or given.budget_usd is None:
            return await self._hands.manager.send(sent(given))
        # Several that are asked at once do not each have all that is left.
        async with self._lines.setdefault(wanted.task_id, asyncio.Lock()):
            left = await self._left_of(wanted.task_id, principal)
            budgets = [each for each in (given.budget_usd, left.budget_usd) if each is not None]
            fair = given.model_copy(update={"budget_usd": min(budgets)})
            return await self._hands.manager.send(sent(fair))

    async def _settled(self, begun: Begun, wanted: Delegation) -> Attempt:
        hands = self._hands
        snapshot = await hands.manager.settled(begun, wanted.wait_seconds)
        mine = begun.turn is not None
        attempt = Attempt(begun.record.agent_id, task=snapshot.rendered(), mine=mine)
        outcome = hands.manager.outcome(begun)
        if outcome is not None:
            # Observers hear of it later, and what is handed on next depends on it.
            with suppress(AgentCoreError):
                await hands.interactions.ended(outcome, hands.clock.now())
            if wanted.task_id is not None:
                hands.manager.charge(wanted.task_id, attempt.spent.cost_usd or Decimal(0))
        return attempt

    async def _cancel(self, begun: Begun) -> None:
        with suppress(AgentCoreError):
            await self._hands.manager.cancel(begun.record.owner, begun.record.task_id)

    def _message(self, wanted: Delegation, agent_id: str, given: Handover) -> JsonObject:
        whole = wanted.whole
        metadata = object_of(whole.get("metadata"))
        kept = {name: value for name, value in metadata.items() if name not in AGENT_NAMES}
        parts: JsonValue = whole.get("parts") or [part_json(wanted.message)]
        message: JsonObject = {
            "messageId": str(whole.get("messageId") or self._hands.ids.new()),
            "role": USER,
            "parts": parts,
            "metadata": {**kept, "agent_id": agent_id, EXTENSION: given.as_json()},
            "extensions": [EXTENSION],
        }
        if isinstance(context_id := whole.get("contextId"), str) and context_id:
            message["contextId"] = context_id
        if wanted.task_id is not None:
            message["referenceTaskIds"] = [wanted.task_id]
        return message


def _stored(attempts: Sequence[Attempt]) -> list[Attempt]:
    return [attempt for attempt in attempts if attempt.task is not None]


def _text_of(wanted: Delegation) -> str:
    if isinstance(wanted.message, str):
        return wanted.message
    return texts(parts_of(wanted.message))


def _result(attempts: Sequence[Attempt], wanted: Delegation) -> JsonObject:
    last = attempts[-1]
    told: list[JsonValue] = [attempt.as_json() for attempt in attempts]
    if last.error is not None:
        if wanted.target_agent is not None:
            raise last.error
        raise NoAgentForTask(
            f"none of the {len(attempts)} agents that fit has taken the task",
            hint="; ".join(f"{each.agent_id}: {each.reason}" for each in attempts),
            attempts=told,
        )
    task = object_of(last.task)
    done = last.state is TaskState.COMPLETED
    return {
        "agent_id": last.agent_id,
        "task_id": task["id"],
        "state": None if last.state is None else last.state.value,
        "partial": not done and bool(objects_of(task.get("artifacts"))),
        "reason": last.reason,
        "spent": last.spent.as_json() if last.spent else None,
        "task": task,
        "attempts": told,
    }
