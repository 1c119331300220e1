"""``/internal/context``: playbooks, traces and evolution over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from agentcore.ace.context_manager import DEFAULT_RENDER_TOKENS, ContextManager
from agentcore.ace.journal import Entry
from agentcore.ace.models import (
    ContextDelta,
    DeltaOutcome,
    EvolutionState,
    ExecutionTrace,
    Identifier,
)
from agentcore.kit.clock import Clock
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.security import principal_of
from agentcore.kit.storable import StorableObject, StorableText

AgentId = Annotated[Identifier, Path(description="The agent's id.", examples=["agent-123"])]
Limit = Annotated[int, Query(ge=1, le=200, description="Most items of one page.")]

# Versions are PostgreSQL integers.
LAST_VERSION = 2**31 - 1
NOT_GIVEN = "not given"
_CONTEXT: JsonObject = {
    "goals": ["solve customer issues"],
    "constraints": ["response time <5s"],
    "capabilities": ["search", "reasoning"],
}
_CHANGES: JsonObject = {"goals": ["solve customer issues", "proactive engagement"]}


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PlaybookRequest(_Request):
    agent_id: Identifier = Field(examples=["agent-123"])
    initial_context: StorableObject = Field(default={}, examples=[_CONTEXT])


class DeltaRequest(_Request):
    delta_id: Identifier = Field(
        examples=["delta-789"], description="The same id repeats the same delta without effect."
    )
    changes: StorableObject = Field(
        examples=[_CHANGES, {"ops": [{"op": "ADD", "section": "checks", "text": "Cite sources."}]}],
        description="Keys to merge in, or a batch of operations under 'ops'.",
    )
    confidence: float = Field(ge=0.0, le=1.0, examples=[0.85])
    reasoning: StorableText = Field(default=NOT_GIVEN, max_length=10_000)
    expected_version: int | None = Field(
        default=None,
        ge=1,
        le=LAST_VERSION,
        description="The version that the delta was made for; 409 if what it touches has changed.",
    )


class RollbackRequest(_Request):
    version: int = Field(
        ge=1, le=LAST_VERSION, examples=[2], description="The version whose content comes back."
    )


class TraceRequest(_Request):
    agent_id: Identifier = Field(examples=["agent-123"])
    task_id: Annotated[StorableText, StringConstraints(max_length=255)] = Field(
        default="", examples=["task-999"]
    )
    execution_time: float = Field(ge=0, allow_inf_nan=False, examples=[2.5], description="Seconds.")
    success: bool
    output_quality: float | None = Field(default=None, ge=0.0, le=1.0, examples=[0.9])
    error_message: StorableText | None = None
    metadata: StorableObject = Field(
        default={}, description="Anything; the stamp of a render goes under 'playbook'."
    )


class TriggerRequest(_Request):
    agent_id: Identifier = Field(examples=["agent-123"])
    force: bool = Field(default=False, description="Also with fewer traces than usually needed.")


class PlaybookCreated(BaseModel):
    playbook_id: str
    agent_id: str
    version: int
    content: dict[str, JsonValue]
    created_at: datetime


class PlaybookRead(BaseModel):
    playbook_id: str
    agent_id: str
    version: int
    content: dict[str, JsonValue]
    last_updated: datetime


class DeltaResult(BaseModel):
    playbook_id: str
    version: int
    applied: bool
    rollback_available: bool


class TraceCaptured(BaseModel):
    trace_id: str
    captured_at: datetime


class EvolutionEnqueued(BaseModel):
    enqueued: bool
    position: int


class EvolutionReport(BaseModel):
    agent_id: str
    last_evolution: datetime | None
    pending_traces: int
    deltas_generated: int
    deltas_applied: int
    status: EvolutionState


class Rendered(BaseModel):
    text: str
    tokens: int
    stamp: dict[str, JsonValue]


class DeltaItem(BaseModel):
    delta_id: str
    kind: str
    applied: bool
    reason: str
    confidence: float
    reasoning: str
    base_version: int
    result_version: int | None
    changes: dict[str, JsonValue]
    generated_at: datetime


class DeltaPage(BaseModel):
    items: list[DeltaItem]
    next_cursor: str | None


def router(
    contexts: Callable[[], ContextManager], *, clock: Callable[[], Clock], ids: Callable[[], Ids]
) -> APIRouter:
    api = APIRouter(prefix="/internal/context", tags=["context"])
    _playbook_routes(api, contexts, clock)
    _reading_routes(api, contexts)
    _evolution_routes(api, contexts, clock, ids)
    return api


def _playbook_routes(
    api: APIRouter, contexts: Callable[[], ContextManager], clock: Callable[[], Clock]
) -> None:
    @api.post("/playbooks", status_code=201)
    async def create_playbook(body: PlaybookRequest, request: Request) -> PlaybookCreated:
        """Create the playbook of an agent; an agent that does not exist becomes the caller's."""
        made = await contexts().create_playbook(
            body.agent_id, body.initial_context, principal=principal_of(request.scope)
        )
        return PlaybookCreated(**made.model_dump(include=set(PlaybookCreated.model_fields)))

    @api.get("/playbooks/{agent_id}")
    async def get_playbook(agent_id: AgentId, request: Request) -> PlaybookRead:
        found = await contexts().get_playbook(agent_id, principal=principal_of(request.scope))
        return PlaybookRead(
            playbook_id=found.playbook_id,
            agent_id=found.agent_id,
            version=found.version,
            content=found.content,
            last_updated=found.updated_at,
        )

    @api.patch("/playbooks/{agent_id}")
    async def apply_delta(agent_id: AgentId, body: DeltaRequest, request: Request) -> DeltaResult:
        """Apply a delta. Below the confidence threshold it is kept and ``applied`` is false."""
        principal = principal_of(request.scope)
        playbook = await contexts().get_playbook(agent_id, principal=principal)
        delta = ContextDelta(
            delta_id=body.delta_id,
            playbook_id=playbook.playbook_id,
            changes=body.changes,
            confidence=body.confidence,
            reasoning=body.reasoning,
            generated_at=clock().now(),
        )
        outcome = await contexts().apply_delta(
            agent_id, delta, expected_version=body.expected_version, principal=principal
        )
        return _result(outcome)

    @api.post("/playbooks/{agent_id}/rollback")
    async def rollback(agent_id: AgentId, body: RollbackRequest, request: Request) -> DeltaResult:
        """Make the content of an earlier version the newest version."""
        principal = principal_of(request.scope)
        return _result(await contexts().rollback(agent_id, body.version, principal=principal))

    @api.delete("/playbooks/{agent_id}", status_code=204)
    async def delete_playbook(agent_id: AgentId, request: Request) -> Response:
        await contexts().delete_playbook(agent_id, principal=principal_of(request.scope))
        return Response(status_code=204)


def _reading_routes(api: APIRouter, contexts: Callable[[], ContextManager]) -> None:
    @api.get("/playbooks/{agent_id}/render")
    async def render(
        agent_id: AgentId,
        request: Request,
        task: Annotated[str, Query(max_length=20_000, description="What the agent is to do.")] = "",
        budget: Annotated[
            int, Query(ge=16, le=200_000, description="Most tokens of the text.")
        ] = DEFAULT_RENDER_TOKENS,
    ) -> Rendered:
        """The playbook as text for the agent's context; report ``stamp`` with the trace."""
        rendered = await contexts().render(
            agent_id, task, budget, principal=principal_of(request.scope)
        )
        return Rendered(text=rendered.text, tokens=rendered.tokens, stamp=rendered.stamp.as_json())

    @api.get("/playbooks/{agent_id}/history")
    async def history(
        agent_id: AgentId,
        request: Request,
        limit: Limit = 50,
        cursor: Annotated[
            int | None,
            Query(ge=1, le=LAST_VERSION, description="The next_cursor of the page before."),
        ] = None,
    ) -> DeltaPage:
        """The versions of the playbook, newest first."""
        entries = await contexts().history(
            agent_id, below=cursor, limit=limit, principal=principal_of(request.scope)
        )
        more = len(entries) == limit and entries[-1].result_version != 1
        return DeltaPage(
            items=[_item(entry) for entry in entries],
            next_cursor=str(entries[-1].result_version) if more else None,
        )

    @api.get("/playbooks/{agent_id}/deltas")
    async def deltas(
        agent_id: AgentId,
        request: Request,
        limit: Limit = 50,
        cursor: Annotated[
            UUID | None, Query(description="The next_cursor of the page before.")
        ] = None,
    ) -> DeltaPage:
        """All deltas of the playbook with what was decided about them, newest first."""
        entries = await contexts().deltas(
            agent_id,
            after=None if cursor is None else str(cursor),
            limit=limit,
            principal=principal_of(request.scope),
        )
        full = len(entries) == limit
        return DeltaPage(
            items=[_item(entry) for entry in entries],
            next_cursor=entries[-1].delta.delta_id if full else None,
        )


def _evolution_routes(
    api: APIRouter,
    contexts: Callable[[], ContextManager],
    clock: Callable[[], Clock],
    ids: Callable[[], Ids],
) -> None:
    @api.post("/traces", status_code=201)
    async def capture_trace(body: TraceRequest, request: Request) -> TraceCaptured:
        """Store how an execution went."""
        trace = ExecutionTrace(
            trace_id=str(ids().new()), captured_at=clock().now(), **body.model_dump()
        )
        stored = await contexts().capture_execution_trace(
            body.agent_id, trace, principal=principal_of(request.scope)
        )
        return TraceCaptured(trace_id=stored.trace_id, captured_at=stored.captured_at)

    @api.post("/evolution/trigger", status_code=202)
    async def trigger_evolution(body: TriggerRequest, request: Request) -> EvolutionEnqueued:
        """Queue an evolution; it does nothing while there are too few new traces, unless forced."""
        position = await contexts().trigger_evolution(
            body.agent_id, force=body.force, principal=principal_of(request.scope)
        )
        return EvolutionEnqueued(enqueued=True, position=position)

    @api.get("/evolution/status/{agent_id}")
    async def evolution_status(agent_id: AgentId, request: Request) -> EvolutionReport:
        status = await contexts().evolution_status(agent_id, principal=principal_of(request.scope))
        return EvolutionReport(**status.model_dump(exclude={"total_cost"}))


def _result(outcome: DeltaOutcome) -> DeltaResult:
    return DeltaResult(
        playbook_id=outcome.playbook.playbook_id,
        version=outcome.playbook.version,
        applied=outcome.applied,
        rollback_available=outcome.rollback_available,
    )


def _item(entry: Entry) -> DeltaItem:
    delta = entry.delta
    return DeltaItem(
        delta_id=delta.delta_id,
        kind=entry.kind,
        applied=delta.applied,
        reason=str(entry.gate.get("reason", "accepted")),
        confidence=delta.confidence,
        reasoning=delta.reasoning,
        base_version=entry.base_version,
        result_version=entry.result_version,
        changes=delta.changes,
        generated_at=delta.generated_at,
    )
