from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from agentcore.a2a_protocol.models.remote import TrustedOrigin

StorageSecret = Annotated[SecretStr, Field(min_length=32)]


class A2AConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field("AgentCore", description="Name of this agent in its card.")
    description: str = Field(
        "Agents, tasks and environments of one AgentCore installation.",
        description="What the card says about this agent.",
    )
    hosted: tuple[str, ...] = Field(
        (),
        description="Agents of your own that the service runs, each as module:NAME of a Hosting.",
    )
    protocol_0_3: bool = Field(
        default=True, description="Whether the card also lists the interface of A2A 0.3."
    )
    push: bool = Field(
        default=True, description="Whether callers may have webhooks told of their tasks."
    )
    push_anywhere: bool = Field(
        default=False, description="Whether webhooks may be at private and loopback addresses."
    )
    push_secrets: tuple[StorageSecret, ...] = Field(
        (),
        description="Secrets, each of 32 characters or more, with which webhooks are encrypted in "
        "the database: the first one encrypts, all decrypt, and so does the one that signs tokens; "
        "empty: that one encrypts, too.",
    )
    agents_anywhere: bool = Field(
        default=False,
        description="Whether registered agents may be at private and loopback addresses.",
    )
    trusted: tuple[TrustedOrigin, ...] = Field(
        (), description="Places of agents that get a credential, or private tasks."
    )
    max_agents: int = Field(
        10_000,
        ge=1,
        description="Most agents of one tenant in the registry, terminated ones included.",
    )
    tenant_agent_ids: bool = Field(
        default=False,
        description="Whether ids that callers choose for agents have to end with a dot and their "
        "tenant, so that no tenant learns which ids others use.",
    )
    agent_silence_seconds: float = Field(
        60.0, gt=0, description="Seconds without a byte after which a remote agent counts as lost."
    )
    agent_max_bytes: int = Field(
        64 * 1024 * 1024,
        ge=1024,
        description="Most bytes that are read of a remote agent's stream.",
    )
    delegation_depth: int = Field(
        10, ge=1, le=32, description="Most agents that a task may come through, this one included."
    )
    agent_check_seconds: float = Field(
        60.0,
        gt=0,
        description="Seconds between two looks at the card of a remote agent that answers.",
    )
    drain_seconds: float = Field(
        600.0,
        ge=0,
        description="Seconds for which tasks that wait for their clients hold up the end of a "
        "draining; tasks that run do so until they have ended.",
    )
    conformance_agent: bool = Field(
        default=False,
        description="Whether messages that name no agent go to the one that answers the official "
        "compatibility kits.",
    )
    signing_key: SecretStr = Field(
        SecretStr(""),
        description="Private key (PEM, EC P-256) that signs the agent cards; empty: they are not "
        "signed. Needs the extra signing.",
    )
    card_max_age: int = Field(
        60, ge=0, description="Seconds that a client may keep the agent card."
    )
    max_body_bytes: int = Field(
        4 * 1024 * 1024, ge=1024, description="Largest JSON-RPC request in bytes."
    )
    max_depth: int = Field(
        64, ge=8, le=90, description="Deepest nesting of a JSON-RPC request, in levels."
    )
    max_batch: int = Field(50, ge=1, description="Most calls in one JSON-RPC batch.")
    blocking_seconds: float = Field(
        60.0,
        gt=0,
        description="Seconds that a blocking send waits for the agent before it returns the task.",
    )
    lease_seconds: float = Field(
        30.0,
        gt=0,
        description="Seconds after its process fell silent until a running task counts as lost.",
    )
    follow_seconds: float = Field(
        0.25,
        gt=0,
        description="Seconds between two looks at a task that another process is running.",
    )
    cancel_seconds: float = Field(
        5.0, ge=0, description="Seconds a cancelled agent may take to clean up."
    )
    flush_seconds: float = Field(
        0.05, ge=0, description="Seconds for which the chunks of a task gather before a write."
    )
    turn_seconds: float = Field(
        3600.0,
        gt=0,
        description="Longest that an agent may work on one message; senders may ask for less.",
    )
    task_retention_days: float = Field(
        30.0, gt=0, description="Days for which tasks are kept that nobody touches."
    )
    event_retention_hours: float = Field(
        24.0,
        ge=0,
        description="Hours for which the event log of an ended task is kept, for late followers.",
    )
