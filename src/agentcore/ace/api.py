"""``/internal/context``: playbooks, traces and evolution over HTTP."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Path, Query, Request, Response

from agentcore.ace.api_models import (
    LAST_VERSION,
    BindingReport,
    BindingRequest,
    DeltaItem,
    DeltaPage,
    DeltaRequest,
    DeltaResult,
    EvolutionEnqueued,
    EvolutionReport,
    ExperimentPage,
    ExperimentReport,
    ExperimentRequest,
    PlaybookCreated,
    PlaybookDifference,
    PlaybookRead,
    PlaybookRequest,
    PlaybookVersion,
    Rendered,
    RollbackRequest,
    TraceCaptured,
    TraceRequest,
    TriggerRequest,
)
from agentcore.ace.binding import Bindings
from agentcore.ace.context_manager import DEFAULT_RENDER_TOKENS, ContextManager
from agentcore.ace.experiments import Experiments
from agentcore.ace.models import ContextDelta, ExecutionTrace, Identifier
from agentcore.kit.clock import Clock
from agentcore.kit.errors import InvalidInput
from agentcore.kit.ids import Ids
from agentcore.kit.security import principal_of

AgentId = Annotated[Identifier, Path(description="The agent's id.", examples=["agent-123"])]
Limit = Annotated[int, Query(ge=1, le=200, description="Most items of one page.")]
Cursor = Annotated[UUID | None, Query(description="The next_cursor of the page before.")]
Version = Annotated[int, Path(ge=1, le=LAST_VERSION, description="A version of the playbook.")]
ExperimentId = Annotated[Identifier, Path(description="The experiment's id.")]
TaskId = Annotated[
    str,
    Query(
        max_length=255,
        description="The task_id of the trace to come: lets the task take part in an experiment. "
        "Without it, the playbook as it is.",
    ),
]
IfMatch = Annotated[
    str | None,
    Header(description="The ETag of what was read; the same as ``expected_version``."),
]
# A weak one would do: what counts is the version. Nine digits fit into a PostgreSQL integer.
_ETAG = re.compile(r'(?:W/)?"([1-9]\d{0,8})"')


def router(
    contexts: Callable[[], ContextManager],
    experiments: Callable[[], Experiments],
    bindings: Callable[[], Bindings],
    *,
    clock: Callable[[], Clock],
    ids: Callable[[], Ids],
) -> APIRouter:
    api = APIRouter(prefix="/internal/context", tags=["context"])
    _playbook_routes(api, contexts, clock)
    _reading_routes(api, contexts)
    _version_routes(api, contexts)
    _experiment_routes(api, experiments)
    _binding_routes(api, bindings)
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

    @api.get("/playbooks/{agent_id}", response_model=PlaybookRead)
    async def get_playbook(agent_id: AgentId, request: Request) -> Response:
        """The playbook as it is now; its ETag is its version."""
        found = await contexts().get_playbook(agent_id, principal=principal_of(request.scope))
        headers = {"ETag": f'"{found.version}"'}
        return Response(PlaybookRead.written(found), media_type="application/json", headers=headers)

    @api.patch("/playbooks/{agent_id}")
    async def apply_delta(
        agent_id: AgentId, body: DeltaRequest, request: Request, if_match: IfMatch = None
    ) -> DeltaResult:
        """Apply a delta. Below the confidence threshold it is kept and ``applied`` is false."""
        expected = _expected(body.expected_version, if_match)
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
            agent_id, delta, expected_version=expected, principal=principal
        )
        return DeltaResult.of(outcome)

    @api.post("/playbooks/{agent_id}/rollback")
    async def rollback(agent_id: AgentId, body: RollbackRequest, request: Request) -> DeltaResult:
        """Make the content of an earlier version the newest version."""
        principal = principal_of(request.scope)
        return DeltaResult.of(
            await contexts().rollback(agent_id, body.version, principal=principal)
        )

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
        task_id: TaskId = "",
    ) -> Rendered:
        """The playbook as text for the agent's context; report ``stamp`` with the trace."""
        rendered = await contexts().render(
            agent_id, task, budget, task_id=task_id, principal=principal_of(request.scope)
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
        # A page may have fewer than were asked for: large ones take the place of several.
        more = bool(entries) and entries[-1].result_version != 1
        return DeltaPage(
            items=[DeltaItem.of(entry) for entry in entries],
            next_cursor=str(entries[-1].result_version) if more else None,
        )

    @api.get("/playbooks/{agent_id}/deltas")
    async def deltas(
        agent_id: AgentId, request: Request, limit: Limit = 50, cursor: Cursor = None
    ) -> DeltaPage:
        """All deltas of the playbook with what was decided about them, newest first."""
        read = partial(contexts().deltas, agent_id, principal=principal_of(request.scope))
        entries = await read(after=_text(cursor), limit=limit)
        last = entries[-1].delta.delta_id if entries else None
        # Looked up: neither the length of the page nor its kinds tell whether there are more.
        more = last is not None and bool(await read(after=last, limit=1))
        return DeltaPage(
            items=[DeltaItem.of(entry) for entry in entries], next_cursor=last if more else None
        )


def _version_routes(api: APIRouter, contexts: Callable[[], ContextManager]) -> None:
    @api.get("/playbooks/{agent_id}/versions/{version}")
    async def version(agent_id: AgentId, version: Version, request: Request) -> PlaybookVersion:
        """What the playbook held at a version, rebuilt from the log."""
        principal = principal_of(request.scope)
        playbook = await contexts().get_playbook(agent_id, principal=principal)
        return PlaybookVersion(
            playbook_id=playbook.playbook_id,
            agent_id=agent_id,
            version=version,
            content=await contexts().content_at(agent_id, version, principal=principal),
        )

    @api.get("/playbooks/{agent_id}/diff")
    async def diff(
        agent_id: AgentId,
        request: Request,
        before: Annotated[int, Query(alias="from", ge=1, le=LAST_VERSION)],
        after: Annotated[
            int | None,
            Query(alias="to", ge=1, le=LAST_VERSION, description="Not given: the newest."),
        ] = None,
    ) -> PlaybookDifference:
        """What changed from one version to another, bullet by bullet and key by key."""
        principal = principal_of(request.scope)
        if after is None:
            after = (await contexts().get_playbook(agent_id, principal=principal)).version
        found = await contexts().difference(agent_id, before, after, principal=principal)
        return PlaybookDifference.of(agent_id, before, after, found)


def _experiment_routes(api: APIRouter, experiments: Callable[[], Experiments]) -> None:
    @api.get("/playbooks/{agent_id}/experiments")
    async def list_experiments(
        agent_id: AgentId, request: Request, limit: Limit = 50, cursor: Cursor = None
    ) -> ExperimentPage:
        """What was tried beside the playbook and what came of it, newest first."""
        found = await experiments().of(
            agent_id, after=_text(cursor), limit=limit, principal=principal_of(request.scope)
        )
        full = len(found) == limit
        return ExperimentPage(
            items=[ExperimentReport.of(agent_id, one) for one in found],
            next_cursor=found[-1].experiment_id if full else None,
        )

    @api.get("/playbooks/{agent_id}/experiments/{experiment_id}")
    async def get_experiment(
        agent_id: AgentId, experiment_id: ExperimentId, request: Request
    ) -> ExperimentReport:
        found = await experiments().get(
            agent_id, experiment_id, principal=principal_of(request.scope)
        )
        return ExperimentReport.of(agent_id, found)

    @api.post("/playbooks/{agent_id}/experiments", status_code=201)
    async def start_experiment(
        agent_id: AgentId, body: ExperimentRequest, request: Request
    ) -> ExperimentReport:
        """Try a delta that was kept and not applied on 5, 10, then 25 percent of the tasks."""
        begun = await experiments().start(
            agent_id, body.delta_id, principal=principal_of(request.scope)
        )
        return ExperimentReport.of(agent_id, begun)

    @api.post("/playbooks/{agent_id}/experiments/{experiment_id}/stop")
    async def stop_experiment(
        agent_id: AgentId, experiment_id: ExperimentId, request: Request
    ) -> ExperimentReport:
        """End it: the playbook stays as it is, and every task sees it so."""
        ended = await experiments().stop(
            agent_id, experiment_id, principal=principal_of(request.scope)
        )
        return ExperimentReport.of(agent_id, ended)


def _binding_routes(api: APIRouter, bindings: Callable[[], Bindings]) -> None:
    path = "/playbooks/{agent_id}/environment"

    @api.get(path)
    async def get_environment(agent_id: AgentId, request: Request) -> BindingReport:
        """The environment in which challengers of the playbook play."""
        found = await bindings().get(agent_id, principal=principal_of(request.scope))
        return BindingReport(agent_id=agent_id, environment=found or None)

    @api.put(path)
    async def bind_environment(
        agent_id: AgentId, body: BindingRequest, request: Request
    ) -> BindingReport:
        """Let what is proposed play there, beside the playbook as it is, before it is let in.

        The episodes think through the gateway at the tenant's cost: that needs the scopes ``llm``,
        ``env:act`` and ``env:control``, too.
        """
        principal = principal_of(request.scope)
        await bindings().bind(agent_id, body.environment, principal=principal)
        return BindingReport(agent_id=agent_id, environment=body.environment)

    @api.delete(path, status_code=204)
    async def unbind_environment(agent_id: AgentId, request: Request) -> Response:
        """No environment, whatever the setting says; a trial that runs is stopped."""
        await bindings().bind(agent_id, "", principal=principal_of(request.scope))
        return Response(status_code=204)


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


def _text(cursor: UUID | None) -> str | None:
    return None if cursor is None else str(cursor)


def _expected(in_body: int | None, if_match: str | None) -> int | None:
    """The version that the caller has seen, by either of the two ways of saying so."""
    if if_match is None or if_match.strip() == "*":
        return in_body
    found = _ETAG.fullmatch(if_match.strip())
    if found is None:
        raise InvalidInput(
            f"If-Match is {if_match[:80]!r}, which is no version",
            hint='send the ETag of GET /internal/context/playbooks/{agent_id}, such as "3"',
        )
    version = int(found[1])
    if in_body is not None and in_body != version:
        raise InvalidInput(
            f"If-Match names version {version}, expected_version {in_body}", hint="send one of them"
        )
    return version
