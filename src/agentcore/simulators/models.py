"""What a simulated cluster is made of: its size, its speed and its faults."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

SIMULATED_PREFIX = "simulated/"
FINGERPRINT = "agentcore-simulator"
SIMULATED_HEADER = "x-agentcore-simulated"

Role = Literal["scheduler", "head"]
FaultKind = Literal[
    "start_budget",
    "stall",
    "drop_connection",
    "cut_stream",
    "silent_stream",
    "error_event",
    "json_instead_of_stream",
    "server_not_ready",
    "routing_not_ready",
    "rate_limited",
    "bad_gateway",
    "routing_error",
    "internal_error",
    "slow_status",
]


class Fault(BaseModel):
    """One way in which a Parallax cluster was seen to fail, and how often it does so here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: FaultKind = Field(description="What goes wrong.")
    rate: float = Field(default=1.0, ge=0, le=1, description="Share of requests that it strikes.")
    seconds: float = Field(
        default=10.0,
        ge=0,
        description="Seconds that a stall, silence or slow status lasts; a budget's heartbeat.",
    )
    after_tokens: int = Field(
        default=3, ge=0, description="Tokens that a stream delivers before its fault."
    )
    times: int | None = Field(
        default=None, ge=1, description="Requests that it strikes before it is spent; none: all."
    )


class ClusterConfig(BaseModel):
    """One simulated Parallax scheduler (or one head node) with its nodes and its model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=3001, ge=0, le=65535, description="TCP port; 0 takes a free one.")
    role: Role = Field(
        default="scheduler",
        description="Routes to serve: those of the scheduler or those of a head node.",
    )
    model: str = Field(
        default="simulated/playbook-7b",
        pattern=rf"^{SIMULATED_PREFIX}\S+$",
        description="Name of the one served model; says that it is simulated.",
    )
    nodes: int = Field(default=2, ge=0, le=1000, description="Nodes in the status list.")
    capacity: int = Field(
        default=8, ge=1, description="Requests that run at once; reported as max_running_request."
    )
    when_full: Literal["queue", "reject"] = Field(
        default="queue", description="What happens to a request beyond the capacity."
    )
    reject_status: Literal[429, 503] = Field(
        default=429, description="HTTP status of a rejected request."
    )
    queue_seconds: float = Field(
        default=97.0, gt=0, description="Seconds that a request waits for a slot before its 429."
    )
    first_token_seconds: float = Field(
        default=0.02, ge=0, description="Seconds until the first token."
    )
    token_seconds: float = Field(default=0.0005, ge=0, description="Seconds per further token.")
    jitter: float = Field(
        default=0.1, ge=0, le=1, description="Share by which a request's latency varies."
    )
    context_tokens: int = Field(
        default=32768, ge=1, description="Tokens of prompt and reply together."
    )
    seed: int = Field(
        default=0, description="Seed of the model's slips, the jitter and the faults."
    )
    slip_rate: float = Field(
        default=0.03, ge=0, le=1, description="Share of steps at which the model forgets its rules."
    )
    faults: tuple[Fault, ...] = Field(default=(), description="Faults from the start.")
    record_prompts: bool = Field(
        default=False, description="Whether prompts are kept in full; otherwise only their hashes."
    )


def parse_fault(text: str) -> Fault:
    """``stall``, ``stall:0.1`` or ``stall,rate=0.1,seconds=5``: the form of the command line.

    Raises:
        ValueError: an unknown kind or member, or a value out of range; one line.
    """
    head, *rest = (part.strip() for part in text.split(","))
    kind, _, rate = head.partition(":")
    pairs = [part.partition("=") for part in rest]
    members = {name.strip(): value.strip() for name, _, value in pairs}
    if rate:
        members["rate"] = rate
    try:
        return Fault.model_validate({"kind": kind, **members})
    except ValidationError as error:
        first = error.errors()[0]
        message = f"{text!r} is no fault: {first['loc'][0]}: {first['msg']}"
        raise ValueError(message) from error
