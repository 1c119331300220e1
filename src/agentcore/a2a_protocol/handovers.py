"""Taking over what other agents hand on: never more than they had, never in a circle."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydantic import ValidationError

from agentcore.a2a_protocol.errors import DelegationCycle, DelegationTooDeep, InvalidParams
from agentcore.a2a_protocol.models.handover import EXTENSION, NO_HANDOVER, Handover, Hop
from agentcore.a2a_protocol.models.turn import Sent
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject, JsonValue, object_of
from agentcore.kit.security import Principal


@dataclass(frozen=True, slots=True)
class Station:
    """This installation as a station of tasks on their way."""

    installation: str
    deepest: int
    ids: Ids

    def accept(self, sent: Sent, agent_id: str, kept: JsonObject) -> Handover:
        """What the agent is handed on by ``sent``, itself the last of the chain.

        ``kept`` are the metadata of the task, where it is not new: what it was handed on first
        cannot be widened by a later message.

        Raises:
            InvalidParams: the sender's handover is none.
            DelegationCycle: the agent has handed on this task already.
            DelegationTooDeep: it has come through too many agents.
        """
        before = read(kept.get(EXTENSION))
        given = narrowed(before, read(sent.all_metadata.get(EXTENSION)))
        mine = Hop(installation=self.installation, agent=agent_id)
        # A later turn comes to the same agent again; what has gone through it is no such turn.
        earlier = given.chain[:-1] if before.chain and given.chain == before.chain else given.chain
        if mine in earlier:
            raise DelegationCycle(agent_id, [hop.agent for hop in earlier])
        chain = (*earlier, mine)
        if len(chain) > self.deepest:
            raise DelegationTooDeep(agent_id, len(chain), self.deepest)
        return given.model_copy(
            update={
                "chain": chain,
                "traceparent": sent.traceparent or given.traceparent or self._trace(sent),
                "private": given.private or sent.principal.private,
            }
        )

    def onward(self, traceparent: str) -> str:
        """The same trace with a parent of our own, for those who are asked next."""
        version, trace_id, _, flags = traceparent.split("-")
        return f"{version}-{trace_id}-{self.ids.hex()[-16:]}-{flags}"

    def _trace(self, sent: Sent) -> str:
        trace_id = sent.trace_id if len(sent.trace_id) == 32 else self.ids.hex()
        return f"00-{trace_id}-{self.ids.hex()[-16:]}-01"


def read(said: JsonValue) -> Handover:
    """What a message's metadata say; raises ``InvalidParams`` where they say something else."""
    if said is None:
        return NO_HANDOVER
    try:
        return Handover.model_validate(said)
    except ValidationError as exc:
        fault = exc.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join([EXTENSION, *map(str, fault["loc"])])
        raise InvalidParams(
            f"{where}: {fault['msg']}", hint="docs/reference/a2a.md has what agents hand on"
        ) from exc


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


def kept_of(handover: Handover, sent: Sent) -> JsonObject:
    """What the task's own metadata keep of it; nothing where nothing was handed on."""
    if EXTENSION not in sent.all_metadata and not sent.principal.private and not sent.traceparent:
        return {}
    kept = handover.model_copy(update={"deadline_seconds": None, "playbook": None})
    return {EXTENSION: kept.as_json()}


def seconds_for(sent: Sent, handover: Handover, most: float) -> float:
    """How long the agent may take: the least of all that was said."""
    said = (sent.deadline_seconds, handover.deadline_seconds, most)
    return min(each for each in said if each is not None)


def caller_for(principal: Principal, handover: Handover) -> Principal:
    """The caller as the agent sees it: private if anybody before was."""
    return replace(principal, private=True) if handover.private else principal


def metadata_of(head: JsonObject) -> JsonObject:
    return object_of(head.get("metadata"))
