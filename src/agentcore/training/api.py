"""``/internal/training``: checkpoints, schedules of rollouts, their jobs, reward functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.security import principal_of
from agentcore.training.checkpoint import Checkpoints
from agentcore.training.models import (
    LAST_VERSION,
    Checkpoint,
    CheckpointDraft,
    CheckpointKind,
    CheckpointName,
    CheckpointPage,
    Job,
    JobPage,
    MetricChange,
    Retention,
    Schedule,
    ScheduleDraft,
    SchedulePage,
)
from agentcore.training.openenv.api import Limit, Responses
from agentcore.training.scheduler import Schedules
from agentcore.training.services import Training

Kind = Annotated[CheckpointKind, Path(description="What the checkpoint is of.")]
Name = Annotated[CheckpointName, Path(description="The checkpoint's name.")]
Version = Annotated[int, Field(ge=1, le=LAST_VERSION)]
NO_CHECKPOINT: Responses = {404: {"description": "No such checkpoint, or none of this tenant."}}
NO_SCHEDULE: Responses = {404: {"description": "No such schedule, or none of this tenant."}}
CHECKPOINT = {
    "kind": "prompt",
    "name": "router",
    "content": {"text": "Route the task to the agent with the shortest queue."},
    "metrics": {"mean_reward": 12.4},
}
SCHEDULE = {
    "name": "nightly",
    "job": {"environment": "task_routing", "policy": "reference", "baseline": "random"},
    "timing": {"kind": "daily", "times": ["02:30"], "timezone": "Europe/Berlin"},
}
Draft = Annotated[CheckpointDraft, Body(examples=[CHECKPOINT])]
Plan = Annotated[ScheduleDraft, Body(examples=[SCHEDULE])]
Keeping = Annotated[
    Retention, Body(examples=[{"keep_last": 10, "best_by": "mean_reward", "keep_best": 3}])
]


class RollbackRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: Version = Field(description="The version whose content comes back.", examples=[3])


class RetainAnswer(BaseModel):
    deleted: list[int]


def router(training: Callable[[], Training]) -> APIRouter:
    routes = APIRouter(prefix="/internal/training", tags=["training"])
    _checkpoints(routes, lambda: training().checkpoints)
    _versions(routes, lambda: training().checkpoints)
    _schedules(routes, lambda: training().schedules)
    _jobs(routes, lambda: training().schedules)

    @routes.get("/rewards", summary="List reward functions")
    async def list_rewards() -> dict[str, JsonObject]:
        """The JSON Schema of each reward function's parameters, by its name."""
        return dict(training().rewards.schemas())

    return routes


def _checkpoints(routes: APIRouter, checkpoints: Callable[[], Checkpoints]) -> None:
    @routes.post(
        "/checkpoints",
        status_code=201,
        summary="Save a checkpoint",
        responses={409: {"description": "`expected_version` is not the newest any more."}},
    )
    async def save_checkpoint(body: Draft, request: Request) -> Checkpoint:
        """Save the next version of a name, whole or not at all."""
        caller = principal_of(request)
        return await checkpoints().save(caller.tenant, body, by=caller.subject)

    @routes.get("/checkpoints", summary="List checkpoints")
    async def list_checkpoints(
        request: Request,
        limit: Limit = 50,
        cursor: Annotated[str, Query(description="`next_cursor` of the page before.")] = "",
    ) -> CheckpointPage:
        """The newest version of each kind and name."""
        tenant = principal_of(request).tenant
        return await checkpoints().names(tenant, limit=limit, cursor=cursor)

    @routes.get(
        "/checkpoints/{kind}/{name}",
        summary="List a checkpoint's versions",
        responses=NO_CHECKPOINT,
    )
    async def list_versions(
        kind: Kind, name: Name, request: Request, limit: Limit = 50, cursor: Version | None = None
    ) -> CheckpointPage:
        """The newest first; empty where there is no such name."""
        tenant = principal_of(request).tenant
        return await checkpoints().versions(tenant, kind, name, limit=limit, before=cursor)


def _versions(routes: APIRouter, checkpoints: Callable[[], Checkpoints]) -> None:
    where = "/checkpoints/{kind}/{name}"

    @routes.get(f"{where}/latest", summary="Load the newest version", responses=NO_CHECKPOINT)
    async def load_latest(kind: Kind, name: Name, request: Request) -> Checkpoint:
        return await checkpoints().load(principal_of(request).tenant, kind, name)

    @routes.get(f"{where}/diff", summary="Compare metrics", responses=NO_CHECKPOINT)
    async def diff_versions(
        kind: Kind, name: Name, request: Request, before: Version, after: Version
    ) -> dict[str, MetricChange]:
        """What became of each metric from one version to the other."""
        tenant = principal_of(request).tenant
        return await checkpoints().diff(tenant, kind, name, before=before, after=after)

    @routes.get(f"{where}/versions/{{version}}", summary="Load a version", responses=NO_CHECKPOINT)
    async def load_version(
        kind: Kind, name: Name, version: Version, request: Request
    ) -> Checkpoint:
        return await checkpoints().load(principal_of(request).tenant, kind, name, version)

    @routes.post(f"{where}/rollback", status_code=201, summary="Roll back", responses=NO_CHECKPOINT)
    async def roll_back(
        kind: Kind, name: Name, body: RollbackRequest, request: Request
    ) -> Checkpoint:
        """Save an old version's content as the newest version."""
        caller = principal_of(request)
        return await checkpoints().rollback(
            caller.tenant, kind, name, body.version, by=caller.subject
        )

    @routes.post(f"{where}/retain", summary="Delete old versions")
    async def retain(kind: Kind, name: Name, body: Keeping, request: Request) -> RetainAnswer:
        """Keep the newest versions and the best ones; the newest of all stays in any case."""
        tenant = principal_of(request).tenant
        return RetainAnswer(deleted=await checkpoints().retain(tenant, kind, name, body))


def _schedules(routes: APIRouter, schedules: Callable[[], Schedules]) -> None:
    @routes.post(
        "/schedules",
        status_code=201,
        summary="Schedule rollouts",
        responses={404: {"description": "No such environment or policy."}},
    )
    async def add_schedule(body: Plan, request: Request) -> Schedule:
        """Once, in intervals, or at times of the day; jobs survive restarts of the service."""
        caller = principal_of(request)
        return await schedules().add(caller.tenant, body, by=caller.subject)

    @routes.get("/schedules", summary="List schedules")
    async def list_schedules(
        request: Request, limit: Limit = 50, cursor: UUID | None = None
    ) -> SchedulePage:
        return await schedules().page(principal_of(request).tenant, limit=limit, after=cursor)

    @routes.get("/schedules/{schedule_id}", summary="Show a schedule", responses=NO_SCHEDULE)
    async def get_schedule(schedule_id: UUID, request: Request) -> Schedule:
        return await schedules().get(principal_of(request).tenant, schedule_id)

    @routes.post("/schedules/{schedule_id}/pause", summary="Pause", responses=NO_SCHEDULE)
    async def pause(schedule_id: UUID, request: Request) -> Schedule:
        """No job begins until it is resumed; one that runs goes on."""
        return await schedules().pause(principal_of(request).tenant, schedule_id)

    @routes.post("/schedules/{schedule_id}/resume", summary="Resume", responses=NO_SCHEDULE)
    async def resume(schedule_id: UUID, request: Request) -> Schedule:
        """Go on; what fell into the pause is not caught up."""
        return await schedules().resume(principal_of(request).tenant, schedule_id)

    @routes.post("/schedules/{schedule_id}/cancel", summary="Cancel", responses=NO_SCHEDULE)
    async def cancel(schedule_id: UUID, request: Request) -> Schedule:
        """For good, with its jobs that wait or run."""
        return await schedules().cancel(principal_of(request).tenant, schedule_id)


def _jobs(routes: APIRouter, schedules: Callable[[], Schedules]) -> None:
    @routes.get("/jobs", summary="List jobs")
    async def list_jobs(
        request: Request,
        schedule_id: UUID | None = None,
        limit: Limit = 50,
        cursor: UUID | None = None,
    ) -> JobPage:
        """The newest first, of one schedule or of all."""
        tenant = principal_of(request).tenant
        return await schedules().jobs(tenant, schedule_id, limit=limit, before=cursor)

    @routes.get(
        "/jobs/{job_id}",
        summary="Show a job",
        responses={404: {"description": "No such job, or none of this tenant."}},
    )
    async def get_job(job_id: UUID, request: Request) -> Job:
        """Its attempts and, once it is done, its evaluation."""
        return await schedules().job(principal_of(request).tenant, job_id)
