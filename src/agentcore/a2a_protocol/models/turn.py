"""A message on its way to an agent, and what its sender asks of the answer."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from agentcore.a2a_protocol.errors import InvalidParams
from agentcore.a2a_protocol.models.task import Owner
from agentcore.kit import jsonvalue
from agentcore.kit.jsonvalue import JsonObject, JsonValue, object_of
from agentcore.kit.security import Principal

# Members of metadata, of the message or of the request.
AGENT_NAMES = ("agent_id", "agentId")
DEADLINE = "deadline_seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """``message`` is a ``Message`` of A2A 1.0; ``agent`` the one whose own address was used.

    ``traceparent`` is the request's, where it has one; ``trace_id`` it has in any case.
    ``repeats`` is the same in each repetition, where the message is not.
    """

    principal: Principal
    message: JsonObject
    metadata: JsonObject = field(default_factory=dict)
    tenant: str = ""
    agent: str = ""
    traceparent: str = ""
    trace_id: str = ""
    repeats: str = ""

    @property
    def owner(self) -> Owner:
        return Owner(tenant=self.principal.tenant, subject=self.principal.subject)

    @property
    def task_id(self) -> str:
        return str(self.message.get("taskId", ""))

    @property
    def context_id(self) -> str:
        return str(self.message.get("contextId", ""))

    @property
    def all_metadata(self) -> JsonObject:
        return {**self.metadata, **object_of(self.message.get("metadata"))}

    @property
    def named(self) -> str:
        """The agent that the sender names, most specific first; empty where it names none."""
        said = (object_of(self.message.get("metadata")), self.metadata)
        names = [meta.get(key) for meta in said for key in AGENT_NAMES]
        return self.agent or next((str(name) for name in names if name), self.tenant)

    @property
    def key(self) -> str:
        """The same for each repetition of a message by its sender, and for nothing else."""
        whole: list[JsonValue] = [self.owner.tenant, self.owner.subject]
        whole += [self.repeats] if self.repeats else [self.named, self.metadata, self.message]
        return hashlib.sha256(jsonvalue.dumps(whole)).hexdigest()

    @property
    def deadline_seconds(self) -> float | None:
        """Of the message, or else of the request.

        Raises:
            InvalidParams: it is no time to work in.
        """
        value = self.all_metadata.get(DEADLINE)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise InvalidParams(
                f"{DEADLINE} is {str(value)[:40]!r}, and has to be a number of seconds above 0",
                hint="leave it out of the metadata for as long as the service allows",
            )
        return float(value)
