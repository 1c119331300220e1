"""Where a remote agent is, and what it is trusted with."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class TrustedOrigin(BaseModel):
    """What the operator grants the agents at one place; registering an agent grants nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    origin: str = Field(
        min_length=8, description="Scheme, host and port, as in https://agents.example.com:8443."
    )
    credential: SecretStr = Field(
        SecretStr(""),
        description="What is sent to the agents there; best as env:NAME or file:PATH.",
    )
    header: str = Field(
        "authorization",
        pattern=r"^[A-Za-z0-9-]+$",
        description="Header of the credential; in authorization it is a bearer token.",
    )
    keys: SecretStr = Field(
        SecretStr(""),
        description="JSON Web Key Set, best as file:PATH; where it is given, cards of agents there "
        "count only if one of these keys has signed them. Needs the extra signing.",
    )
    private: bool = Field(default=False, description="Whether private tasks may be sent there.")
    playbooks: bool = Field(
        default=False, description="Whether the text of the sender's playbook is handed on there."
    )
    inside: bool = Field(
        default=False, description="Whether it may be at a private or loopback address."
    )
    tenants: tuple[str, ...] = Field(
        (), description="Tenants whose agents this holds for; empty: those of all."
    )


NO_TRUST = TrustedOrigin(origin="nowhere:")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteAddress:
    """One interface of an agent's card; ``tenant`` goes into each request, as the card asks."""

    agent_id: str
    url: str
    version: str
    tenant: str = ""
    streaming: bool = True
    trust: TrustedOrigin = NO_TRUST


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteTask:
    """A task of ours and the one that works for it elsewhere.

    ``attempts`` counts how often somebody tried to cancel it.
    """

    task_id: str
    agent_id: str
    remote_id: str
    context_id: str
    attempts: int = 0
