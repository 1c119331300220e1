"""/internal/environments: what is registered, where more is found, what is deployed.

Its routes come before those of ``training.openenv.api``: no environment is called as one of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Path, Query, Request, Response
from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field

from agentcore.kit.errors import InvalidInput
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.security import principal_of
from agentcore.kit.storable import StorableText
from agentcore.training.openenv.api import ROOT, Limit, Responses, example
from agentcore.training.openenv.models import (
    ENVIRONMENT_NAME,
    EnvironmentEntry,
    EnvironmentPage,
    HealthStatus,
    RuntimeName,
)
from agentcore.training.openenv.operations.models import Operation
from agentcore.training.openenv.operations.running import Operations
from agentcore.training.openenv.registration.catalog_file import PROFILE, digest, parse_catalog
from agentcore.training.openenv.registration.records import (
    REFERENCE_FORM,
    BadEntry,
    EnvironmentRecord,
)
from agentcore.training.openenv.registry import EnvironmentRegistry
from agentcore.training.openenv.specs import (
    DeployedEnvironment,
    EnvironmentMetrics,
    EnvironmentSpec,
    Resources,
)

Registry = Callable[[], EnvironmentRegistry]


Name = Annotated[
    StorableText,
    Path(max_length=512, description="A name, `name@revision`, or the id of the entry."),
]
OPERATION = {
    "id": "019ab0c2-7d51-7c3e-9d2a-1f0e6a7b8c9d",
    "kind": "deploy",
    "target": "task_routing",
    "arguments": {"replicas": 2, "runtime": "kubernetes"},
    "state": "running",
    "result": None,
    "error": None,
    "requested_by": "ada",
    "attempts": 1,
    "created_at": "2026-11-21T12:00:00Z",
    "finished_at": None,
}
ENTRY = {
    "id": "019ab0c2-7d51-7c3e-9d2a-000000000001",
    "name": "echo",
    "source": "hub",
    "source_id": "ann/echo",
    "revision": "4c1d8f0f5be1a0e8a1c1c8d1c8b0f6e1a2b3c4d5",
    "url": "https://ann-echo.hf.space/",
    "image": "registry.hf.space/ann-echo:latest",
    "state": "registered",
    "status": "healthy",
    "mode": "simulation",
    "capacity": {"active": 1, "maximum": 8},
    "detail": "",
    "checked_at": "2026-11-21T12:00:00Z",
    "last_seen_at": "2026-11-21T12:00:00Z",
    "info": None,
}
DEPLOYED = {
    "name": "task_routing",
    "url": "http://task-routing-env.agentcore-openenv.svc:8000",
    "replicas": 2,
    "status": "running",
    "ready": 2,
    "version": "1.0.0",
    "runtime": "kubernetes",
    "detail": "",
}
EMPTY_CATALOG: JsonObject = {"schema_version": PROFILE, "entries": []}
CATALOG = {**EMPTY_CATALOG, "digest": digest(EMPTY_CATALOG)}
ABSENT: Responses = {
    404: {"description": "Nothing has this name."},
    409: {"description": "The name means several environments: give the id of one."},
}
BUSY: Responses = {409: {"description": "It is being deployed or removed at this moment."}}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Registration(_Body):
    """A server at ``url``, or an ``image`` to deploy; ``discovered`` takes the rest from there."""

    discovered: StorableText = Field(
        "", max_length=512, description="A discovered entry, by name or id."
    )
    name: str | None = Field(None, pattern=ENVIRONMENT_NAME)
    url: AnyHttpUrl | None = None
    image: StorableText | None = Field(None, min_length=1, max_length=512)
    version: StorableText | None = Field(None, max_length=128)
    description: StorableText | None = Field(None, max_length=4096)
    tags: tuple[Annotated[StorableText, Field(max_length=128)], ...] | None = Field(
        None, max_length=64
    )
    author: StorableText | None = Field(None, max_length=256)
    license: StorableText | None = Field(None, max_length=256)
    token: StorableText | None = Field(
        None,
        pattern=REFERENCE_FORM,
        description="Where the server's bearer token is: env:NAME or file:PATH. Needs `admin`.",
    )
    validated: bool = Field(
        default=True, alias="validate", description="Whether its server must give an episode first."
    )

    def spec(self, found: EnvironmentSpec | None) -> EnvironmentSpec:
        fields = set(self.model_fields_set) - {"discovered", "token", "validated"}
        given = {name: getattr(self, name) for name in fields}
        if found is not None:
            return found.model_copy(update={n: v for n, v in given.items() if v is not None})
        if self.name is None:
            raise InvalidInput("name: an environment needs one", hint="or give `discovered`")
        return EnvironmentSpec(
            **{name: value for name, value in given.items() if value is not None},
            source_id=self.name,
            revision=self.version or "",
        )


class Discovery(_Body):
    tags: tuple[Annotated[StorableText, Field(min_length=1, max_length=128)], ...] = Field(
        (), max_length=16, description="Tags beside `openenv` that a Space must have, all of them."
    )
    author: StorableText | None = Field(None, min_length=1, max_length=128)
    register_all: bool = Field(
        default=False,
        alias="register",
        description="Whether to register what is found, unseen, instead of remembering it only.",
    )


class Deployment(_Body):
    replicas: int = Field(1, ge=1, le=100)
    resources: Resources = Field(default_factory=Resources)
    runtime: RuntimeName | None = Field(None, description="Left out: the one of the settings.")


Wanted = Annotated[Discovery, Body(examples=[{"tags": ["rl"], "author": "ann", "register": False}])]
Known = Annotated[
    Registration,
    Body(
        examples=[
            {"name": "maze", "url": "http://127.0.0.1:8000", "token": "env:MAZE_TOKEN"},
            {"name": "maze", "image": "registry.local/maze:1.0.0", "version": "1.0.0"},
            {"discovered": "ann/echo", "validate": False},
        ]
    ),
]
Running = Annotated[
    Deployment,
    Body(examples=[{"replicas": 2, "resources": {"cpu": "500m", "memory": "512Mi"}}]),
]


class Deployments(BaseModel):
    deployed: tuple[DeployedEnvironment, ...]


class Imported(BaseModel):
    imported: tuple[EnvironmentEntry, ...]
    refused: tuple[BadEntry, ...]


class HealthReport(BaseModel):
    """What the last check of a registered environment found."""

    name: str
    status: HealthStatus
    failures: int
    entry: EnvironmentEntry


def router(registry: Registry, *, operations: Callable[[], Operations]) -> APIRouter:
    api = APIRouter(prefix=ROOT, tags=["environments"])
    _finding(api, registry)
    _found(api, registry)
    _registering(api, registry)
    _deploying(api, registry)
    _asking(api, registry)

    @api.get(
        "/operations/{operation_id}",
        summary="Poll an operation",
        responses={
            **example(OPERATION),
            404: {"description": "No such operation, or it ended more than a week ago."},
        },
    )
    async def show_operation(operation_id: UUID) -> Operation:
        """`state` goes from `pending` over `running` to `succeeded` or `failed`."""
        return await operations().get(operation_id)

    return api


def _finding(api: APIRouter, registry: Registry) -> None:
    @api.post(
        "/discover",
        summary="Look for environments on the Hub",
        status_code=202,
        responses=example({**OPERATION, "kind": "discover", "target": ""}, 202),
    )
    async def discover(body: Wanted, request: Request, response: Response) -> Operation:
        """Spaces with the tag `openenv`, remembered as discovered; their servers are not asked."""
        return _accepted(
            response,
            await registry().submit_discovery(
                body.tags,
                body.author,
                register=body.register_all,
                requested_by=principal_of(request.scope).subject,
            ),
        )

    @api.post(
        "/import",
        summary="Import a catalog",
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"type": "object"}, "example": CATALOG}},
            }
        },
        responses={
            **example(
                {
                    "imported": [{**ENTRY, "source": "catalog", "state": "discovered"}],
                    "refused": [{"path": "entries[3] (envs/x)", "detail": "data.license: empty"}],
                }
            ),
            422: {"description": "The body is no catalog, or was changed after it was built."},
        },
    )
    async def import_catalog(request: Request) -> Imported:
        """The file that `openenv catalog build` writes; bad entries are named, the rest kept."""
        done = await registry().import_entries(parse_catalog(await request.body()))
        entries = tuple(record.entry() for record in done.imported)
        return Imported(imported=entries, refused=done.refused)


def _found(api: APIRouter, registry: Registry) -> None:
    @api.get(
        "/discovered",
        summary="List discovered environments",
        responses=example(
            {"environments": [{**ENTRY, "state": "discovered"}], "next_cursor": None}
        ),
    )
    async def list_discovered(
        limit: Limit = 50,
        cursor: Annotated[
            StorableText, Query(max_length=256, description="`next_cursor` of the page before.")
        ] = "",
    ) -> EnvironmentPage:
        """What was found on the Hub or in a catalog, and is not registered."""
        records = await registry().discovered(after=_place(cursor), limit=limit + 1)
        shown = records[:limit]
        return EnvironmentPage(
            environments=tuple(record.entry() for record in shown),
            next_cursor=f"{shown[-1].spec.name} {shown[-1].id}" if len(records) > limit else None,
        )


def _registering(api: APIRouter, registry: Registry) -> None:
    @api.post(
        "",
        summary="Register an environment",
        status_code=201,
        responses={
            **example(ENTRY, 201),
            403: {"description": "A token's reference needs the scope `admin`."},
            409: {"description": "The name is that of a bundled or configured environment."},
            422: {"description": "Its server gives no episode, or it has neither url nor image."},
        },
    )
    async def register(body: Known, request: Request) -> EnvironmentEntry:
        """Make it open to callers; the same source, id and revision replaces what it was."""
        if body.token is not None:
            # It makes this service read a secret and send it to the server.
            principal_of(request.scope).require("admin")
        found = None
        if body.discovered:
            found = (await registry().get(body.discovered, registered=False)).spec
        record = await registry().register(
            body.spec(found), validate=body.validated, token_ref=body.token
        )
        return record.entry()

    @api.delete("/{name}", summary="Forget an environment", status_code=204, responses=dict(ABSENT))
    async def unregister(name: Name) -> Response:
        """Also one that was only discovered. A deployment of it goes on."""
        await registry().unregister(name)
        return Response(status_code=204)


def _deploying(api: APIRouter, registry: Registry) -> None:
    @api.get("/deployed", summary="List deployments", responses=example({"deployed": [DEPLOYED]}))
    async def list_deployed() -> Deployments:
        return Deployments(deployed=tuple(await registry().list_deployed()))

    @api.post(
        "/{name}/deploy",
        summary="Deploy an environment",
        status_code=202,
        responses={**example(OPERATION, 202), **ABSENT, **BUSY},
    )
    async def deploy(name: Name, body: Running, request: Request, response: Response) -> Operation:
        """Poll the operation at the address in `Location`: it ends when the environment serves."""
        return _accepted(
            response,
            await registry().submit_deploy(
                name,
                body.replicas,
                body.resources,
                body.runtime,
                requested_by=principal_of(request.scope).subject,
            ),
        )

    @api.delete(
        "/{name}/deploy",
        summary="Remove a deployment",
        status_code=202,
        responses={**example({**OPERATION, "kind": "undeploy"}, 202), **BUSY},
    )
    async def undeploy(
        name: Name,
        request: Request,
        response: Response,
        forget: Annotated[  # noqa: FBT002 -- a query parameter
            bool,
            Query(description="Also where its runtime is gone: what may run there is left alone."),
        ] = False,
    ) -> Operation:
        """The environment stays registered."""
        requested_by = principal_of(request.scope).subject
        return _accepted(
            response,
            await registry().submit_undeploy(name, forget=forget, requested_by=requested_by),
        )


def _asking(api: APIRouter, registry: Registry) -> None:
    healthy = {"name": "echo", "status": "healthy", "failures": 0, "entry": ENTRY}

    @api.get(
        "/{name}/metrics",
        summary="What a deployment uses",
        responses={
            **example(
                {
                    "name": "task_routing",
                    "cpu_usage": 0.21,
                    "memory_usage": 91234304,
                    "request_count": 10482,
                    "avg_episode_duration": 1.73,
                }
            ),
            404: {"description": "Nothing is deployed under this name."},
        },
    )
    async def metrics(name: Name) -> EnvironmentMetrics:
        """What its replicas use together, and what sessions of this service played on it."""
        return await registry().get_metrics(name)

    @api.get(
        "/{name}/health", summary="Show the last check", responses={**example(healthy), **ABSENT}
    )
    async def health(name: Name) -> HealthReport:
        """What the monitor, or whoever asked last, found."""
        return _report(await registry().get(name))

    @api.post(
        "/{name}/health",
        summary="Check an environment now",
        responses={**example(healthy), **ABSENT},
    )
    async def check(name: Name) -> HealthReport:
        """Open a session of it, reset, take one step, and record what came of it."""
        return _report(await registry().check(name))


def _report(record: EnvironmentRecord) -> HealthReport:
    return HealthReport(
        name=record.spec.name,
        status=record.health.status,
        failures=record.health.failures,
        entry=record.entry(),
    )


def _accepted(response: Response, operation: Operation) -> Operation:
    response.headers["location"] = f"{ROOT}/operations/{operation.id}"
    return operation


def _place(cursor: str) -> tuple[str, UUID] | None:
    name, _, id_ = cursor.partition(" ")
    try:
        return (name, UUID(id_)) if cursor else None
    except ValueError as exc:
        raise InvalidInput("cursor: it is none of ours", hint="give a next_cursor") from exc
