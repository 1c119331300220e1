"""What a Parallax scheduler tells about its cluster; what it does not tell is None."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.llm_gateway.admission import Source
from agentcore.llm_gateway.capacity import Starts
from agentcore.llm_gateway.models import LLMRequest

Health = Literal["unknown", "ready", "degraded", "not_ready", "down"]
# Whether a completion has shown that what the cluster says of itself is so.
Proof = Literal["given", "wanted", "failed"]
USABLE: frozenset[Health] = frozenset({"unknown", "ready", "degraded"})

# The scheduler writes a line every second; when its event loop is stuck, none for 15 s and more.
STALE_AFTER = 5.0
LOST_AFTER = 45.0


@dataclass(frozen=True, slots=True)
class NodeStats:
    """The scheduler reports no utilisation: it stays None. Nor does it report what a node has
    loaded: that is known of an available node only, which has its part of the cluster's model.
    """

    node_id: str
    status: str
    gpu_name: str | None = None
    gpu_num: int | None = None
    gpu_memory_gb: float | None = None
    gpu_utilization: float | None = None
    cpu_utilization: float | None = None
    loaded_models: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        return self.node_id


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """One status report. ``max_running_request`` is a total, never what is left of it.

    ``serving`` is our judgement: a report says available with nobody there to serve.
    """

    status: str
    model_name: str
    nodes: tuple[NodeStats, ...]
    need_more_nodes: bool
    max_running_request: int | None
    serving: bool
    init_nodes_num: int | None = None


@dataclass(frozen=True, slots=True)
class Capacity:
    """``limit`` None: unknown. ``age_seconds`` None: the cluster was never heard.

    ``source``: the limit is the operator's, the scheduler's, or learned from how soon it answers.
    ``starts`` None: how many calls the scheduler starts between heartbeats is not known.
    """

    health: Health
    limit: int | None
    in_flight: int
    source: Source
    age_seconds: float | None
    models: tuple[str, ...] | None
    queued: int = 0
    starts: Starts | None = None

    def has_availability(self) -> bool:
        """Whether a call would start now, as far as is known."""
        return self.health in USABLE and (self.limit is None or self.in_flight < self.limit)

    def can_handle_request(self, request: LLMRequest) -> bool:
        return self.has_availability() and (self.models is None or request.model in self.models)


@dataclass(frozen=True, slots=True)
class ClusterStats:
    """``stale``: the status is older than a cluster lets it become that is not stuck."""

    health: Health
    status: ClusterStatus | None
    in_flight: int
    age_seconds: float | None
    error: str
    cluster: str = ""
    limit: int | None = None
    starts: Starts | None = None

    @property
    def stale(self) -> bool:
        return self.age_seconds is None or self.age_seconds > STALE_AFTER

    @property
    def nodes(self) -> tuple[NodeStats, ...]:
        return self.status.nodes if self.status is not None else ()


def health_of(
    status: ClusterStatus | None,
    *,
    age: float | None,
    reachable: bool,
    in_flight: int = 0,
    proof: Proof = "given",
) -> Health:
    """Judge the latest report by its age, by our calls there and by what they proved.

    Silence means stuck, not down, until it lasts; and as long as calls are under way, a scheduler
    that does not tell its status is busy with them.
    """
    if not reachable:
        return "down"
    if status is None or age is None:
        return "unknown"
    if age > LOST_AFTER:
        return "degraded" if in_flight else "down"
    if not status.serving or proof == "failed":
        return "not_ready"
    return "degraded" if age > STALE_AFTER or proof == "wanted" else "ready"


def status_of(report: JsonValue) -> ClusterStatus:
    """A report of ``/cluster/status`` or ``/cluster/status_json``.

    Raises:
        ValueError: it is none.
    """
    data = report.get("data") if isinstance(report, dict) else None
    known = data if isinstance(data, dict) else {}
    status = _text(known, "status")
    if status is None:
        raise ValueError("not a cluster status")
    listed = known.get("node_list")
    nodes = [node for node in listed if isinstance(node, dict)] if isinstance(listed, list) else []
    limit = _whole(known, "max_running_request")
    lacking = known.get("need_more_nodes") is True
    return ClusterStatus(
        status=status,
        model_name=_text(known, "model_name") or "",
        nodes=tuple(_node(node, _text(known, "model_name")) for node in nodes),
        need_more_nodes=lacking,
        max_running_request=limit,
        serving=status == "available"
        and not lacking
        and limit != 0
        and any(node.get("status") == "available" for node in nodes),
        init_nodes_num=_whole(known, "init_nodes_num"),
    )


def _node(node: JsonObject, model: str | None) -> NodeStats:
    # A node that is available has loaded its part of the cluster's one model.
    loaded = node.get("status") == "available" and model
    return NodeStats(
        node_id=str(node.get("node_id", "")),
        status=str(node.get("status", "")),
        gpu_name=_text(node, "gpu_name"),
        gpu_num=_whole(node, "gpu_num"),
        gpu_memory_gb=_number(node, "gpu_memory"),
        loaded_models=(model,) if loaded and model else None,
    )


def _text(node: Mapping[str, JsonValue], name: str) -> str | None:
    value = node.get(name)
    return value if isinstance(value, str) else None


def _whole(node: Mapping[str, JsonValue], name: str) -> int | None:
    value = node.get(name)
    return value if isinstance(value, int) else None


def _number(node: Mapping[str, JsonValue], name: str) -> float | None:
    value = node.get(name)
    return float(value) if isinstance(value, int | float) else None
