"""Taking over what other agents hand on: never more than they had, never in a circle."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import ValidationError

from agentcore.a2a_protocol.errors import DelegationCycle, DelegationTooDeep, InvalidParams
from agentcore.a2a_protocol.models.handover import EXTENSION, NO_HANDOVER, Handover, Hop
from agentcore.a2a_protocol.models.turn import Sent
from agentcore.kit import jsonvalue
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject, JsonValue, object_of
from agentcore.kit.security import Principal

# Beside the members of the handover, in what a task keeps of it.
DEADLINE = "deadline"
TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
SHORTEST_SECONDS = 0.001
LARGEST_PLAYBOOK = 64 * 1024
HINT = "docs/reference/a2a.md has what agents hand on"


@dataclass(frozen=True, slots=True)
class Station:
    """This installation as a station of tasks on their way."""

    installation: str
    deepest: int
    ids: Ids

    def hop(self, agent_id: str, task_id: str = "") -> Hop:
        return Hop(installation=self.installation, agent=agent_id, task=task_id)

    def accept(self, sent: Sent, mine: Hop, kept: JsonObject) -> Handover:
        """What the agent ``mine`` is handed on by ``sent``, itself the last of the chain.

        ``kept`` are the metadata of the task, where it is not new: what it was handed on first
        cannot be widened by a later message.

        Raises:
            InvalidParams: the sender's handover is none.
            DelegationCycle: the agent has handed on this task already.
            DelegationTooDeep: it has come through too many agents.
        """
        before = read(kept.get(EXTENSION))
        given = narrowed(before, read(sent.all_metadata.get(EXTENSION)))
        # A later turn comes to the same agent again; what has gone through it is no such turn.
        earlier = given.chain[:-1] if before.chain and given.chain == before.chain else given.chain
        if any(hop.is_same(mine) for hop in earlier):
            raise DelegationCycle(mine.agent, [hop.agent for hop in earlier])
        chain = (*earlier, mine)
        if len(chain) > self.deepest:
            raise DelegationTooDeep(mine.agent, len(chain), self.deepest)
        return given.model_copy(
            update={
                "chain": chain,
                "traceparent": sent.traceparent or given.traceparent or self.trace(sent.trace_id),
                "private": given.private or sent.principal.private,
            }
        )

    def onward(self, traceparent: str) -> str:
        """The same trace with a parent of our own, for those who are asked next."""
        version, trace_id, _, flags = traceparent.split("-")
        return f"{version}-{trace_id}-{self.ids.hex()[-16:]}-{flags}"

    def trace(self, trace_id: str) -> str:
        """A place in the trace of that id, or in a new one where it is none."""
        known = TRACE_ID.fullmatch(trace_id)
        return f"00-{trace_id if known else self.ids.hex()}-{self.ids.hex()[-16:]}-01"


def read(said: JsonValue) -> Handover:
    """What a message's metadata say; raises ``InvalidParams`` where they say something else."""
    if said is None:
        return NO_HANDOVER
    try:
        found = Handover.model_validate(said)
    except ValidationError as exc:
        fault = exc.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join([EXTENSION, *map(str, fault["loc"])])
        raise InvalidParams(f"{where}: {fault['msg']}", hint=HINT) from exc
    if found.playbook and len(jsonvalue.dumps(found.playbook)) > LARGEST_PLAYBOOK:
        raise InvalidParams(f"{EXTENSION}.playbook: more than {LARGEST_PLAYBOOK} bytes", hint=HINT)
    return found


def narrowed(before: Handover, later: Handover) -> Handover:
    """``later`` where it does not give more than ``before``."""
    budgets = [each for each in (before.budget_usd, later.budget_usd) if each is not None]
    return Handover(
        chain=later.chain or before.chain,
        traceparent=later.traceparent or before.traceparent,
        deadline_seconds=later.deadline_seconds,
        budget_usd=min(budgets, default=None),
        private=before.private or later.private,
        playbook=later.playbook or before.playbook,
    )


def presented_trace(sent: Sent) -> str:
    """The place in a trace that the sender names; where it names none, one is made up later."""
    return sent.traceparent or read(sent.all_metadata.get(EXTENSION)).traceparent or ""


def is_handed_on(sent: Sent) -> bool:
    return EXTENSION in sent.all_metadata


def kept_of(handover: Handover, sent: Sent, deadline: datetime) -> JsonObject:
    """What the task's own metadata keep of it; nothing where nothing was handed on."""
    if not is_handed_on(sent) and not sent.principal.private and not sent.traceparent:
        return {}
    kept = handover.model_copy(update={"deadline_seconds": None, "playbook": None})
    return {EXTENSION: {**kept.as_json(), DEADLINE: deadline.isoformat()}}


def kept_in(head: JsonObject, mine: Hop, now: datetime) -> Handover:
    """What a task that began with ``kept_of`` can hand on in its turn."""
    kept = object_of(metadata_of(head).get(EXTENSION))
    found = read(kept or None)
    changes: dict[str, object] = {} if found.chain else {"chain": (mine,)}
    if isinstance(until := kept.get(DEADLINE), str):
        left = (datetime.fromisoformat(until) - now).total_seconds()
        changes["deadline_seconds"] = max(left, SHORTEST_SECONDS)
    return found.model_copy(update=changes)


def seconds_for(sent: Sent, handover: Handover, most: float) -> float:
    """How long the agent may take: the least of all that was said."""
    said = (sent.deadline_seconds, handover.deadline_seconds, most)
    return min(each for each in said if each is not None)


def caller_for(principal: Principal, handover: Handover) -> Principal:
    """The caller as the agent sees it: private if anybody before was."""
    return replace(principal, private=True) if handover.private else principal


def metadata_of(head: JsonObject) -> JsonObject:
    return object_of(head.get("metadata"))
