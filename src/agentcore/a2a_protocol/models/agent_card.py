"""Agent cards as they come in, and agents as they are kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from agentcore.a2a_protocol.models.task import Owner
from agentcore.kit.jsonvalue import JsonObject

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255)]
AGENT_ID = r"^[A-Za-z0-9][A-Za-z0-9._:@-]{0,254}$"
MOST = 200
AgentId = Annotated[str, StringConstraints(pattern=AGENT_ID)]


class AgentStatus(StrEnum):
    ACTIVE = "active"
    TERMINATED = "terminated"


class AgentHealth(StrEnum):
    """What is known of an agent's answering; hosted agents are always healthy."""

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    SILENT = "silent"


class AgentSkill(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    id: Name
    name: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()


class AgentInterface(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    url: str
    protocol_binding: str = Field("JSONRPC", alias="protocolBinding")
    protocol_version: str = Field("1.0", alias="protocolVersion")


class AgentCard(BaseModel):
    """A card of A2A 1.0 or 0.3; members that AgentCore does not read are kept as they are.

    ``capabilities`` is the protocol's object, or a list of names of what the agent can do.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    name: Name
    description: str = ""
    version: str = "1.0.0"
    capabilities: Annotated[tuple[Name, ...], Field(max_length=MOST)] | JsonObject = ()
    skills: tuple[AgentSkill, ...] = Field((), max_length=MOST)
    url: str | None = None
    preferred_transport: str = Field("JSONRPC", alias="preferredTransport")
    protocol_version: str = Field("0.3", alias="protocolVersion")
    supported_interfaces: tuple[AgentInterface, ...] = Field((), alias="supportedInterfaces")
    metadata: JsonObject = Field(default_factory=dict)

    def capability_names(self) -> tuple[str, ...]:
        """What was listed; of the protocol's object, the features that are switched on."""
        if isinstance(self.capabilities, tuple):
            return tuple(dict.fromkeys(self.capabilities))
        return tuple(name for name, value in self.capabilities.items() if value is True)

    def endpoint(self) -> JsonObject | None:
        """Where the agent answers: the first interface of 1.0, or the ``url`` of 0.3."""
        if self.supported_interfaces:
            first = self.supported_interfaces[0]
            return {
                "url": first.url,
                "protocolBinding": first.protocol_binding,
                "protocolVersion": first.protocol_version,
            }
        if self.url is None:
            return None
        return {
            "url": self.url,
            "protocolBinding": self.preferred_transport,
            "protocolVersion": self.protocol_version,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRecord:
    agent_id: str
    owner: Owner
    name: str
    version: str
    status: AgentStatus
    description: str
    capabilities: tuple[str, ...]
    skills: tuple[JsonObject, ...]
    created_at: datetime
    updated_at: datetime
    last_seen: datetime
    endpoint: JsonObject | None = None
    card: JsonObject | None = None
    metadata: JsonObject = field(default_factory=dict)

    def summary(self) -> JsonObject:
        """What other agents of the tenant get to see."""
        return {
            "agent_id": self.agent_id,
            "name": self.name,
            "version": self.version,
            "status": self.status.value,
            "description": self.description,
            "capabilities": list(self.capabilities),
            "skills": list(self.skills),
            "endpoint": self.endpoint,
            "metadata": self.metadata,
            "created_at": self.created_at.isoformat(),
            "updated_at": self.updated_at.isoformat(),
            "last_seen": self.last_seen.isoformat(),
        }
