"""Agent cards as they come in."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from agentcore.kit import jsonvalue
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.storable import StorableText, check_storable

Name = Annotated[
    StorableText, StringConstraints(strip_whitespace=True, min_length=1, max_length=255)
]
AGENT_ID = r"^[A-Za-z0-9][A-Za-z0-9._:@-]{0,254}$"
MOST = 200
# A card of this size fills a hundred pages; each page of a list holds a hundred agents.
LARGEST_CARD = 256 * 1024
DEEPEST_CARD = 32
Text = Annotated[str, Field(max_length=32_768)]
ShortText = Annotated[str, Field(max_length=1024)]
Tag = Annotated[str, Field(max_length=255)]
Address = Annotated[StorableText, Field(max_length=2048)]
AgentId = Annotated[str, StringConstraints(pattern=AGENT_ID)]


class AgentSkill(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    id: Name
    name: ShortText = ""
    description: Text = ""
    tags: tuple[Tag, ...] = Field((), max_length=MOST)


class AgentInterface(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    url: Address
    protocol_binding: ShortText = Field("JSONRPC", alias="protocolBinding")
    protocol_version: ShortText = Field("1.0", alias="protocolVersion")


class AgentCard(BaseModel):
    """A card of A2A 1.0 or 0.3; members that AgentCore does not read are kept as they are.

    ``capabilities`` is the protocol's object, or a list of names of what the agent can do.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    name: Name
    description: Text = ""
    version: ShortText = "1.0.0"
    capabilities: Annotated[tuple[Name, ...], Field(max_length=MOST)] | JsonObject = ()
    skills: tuple[AgentSkill, ...] = Field((), max_length=MOST)
    url: Address | None = None
    preferred_transport: ShortText = Field("JSONRPC", alias="preferredTransport")
    protocol_version: ShortText = Field("0.3", alias="protocolVersion")
    supported_interfaces: tuple[AgentInterface, ...] = Field(
        (), alias="supportedInterfaces", max_length=MOST
    )
    metadata: JsonObject = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, value: object) -> object:
        """Refuse what the database could not keep, before anything reads it."""
        if not isinstance(value, dict):
            return value
        check_storable(value, deepest=DEEPEST_CARD)
        if (size := len(jsonvalue.dumps(value))) > LARGEST_CARD:
            raise ValueError(f"the card has {size} bytes, at most {LARGEST_CARD} are taken")
        return value

    def capability_names(self) -> tuple[str, ...]:
        """What was listed; of the protocol's object, the features that are switched on."""
        if isinstance(self.capabilities, tuple):
            return tuple(dict.fromkeys(self.capabilities))
        return tuple(name for name, value in self.capabilities.items() if value is True)

    def addresses(self) -> tuple[str, ...]:
        """Of all its interfaces, of either version."""
        further = (self.model_extra or {}).get("additionalInterfaces")
        old = [each.get("url") for each in further or () if isinstance(each, dict)]
        new = [each.url for each in self.supported_interfaces]
        return tuple(str(url) for url in (*new, self.url, *old) if url)

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
