"""The JSON-RPC endpoint, the agent card, and the internal lists of agents and tasks."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Body, Path, Query
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from agentcore.a2a_protocol import examples
from agentcore.a2a_protocol.agent_methods import (
    DiscoverParams,
    RegisterParams,
    discovered,
    registered,
    shown,
)
from agentcore.a2a_protocol.card import EXTENSIONS
from agentcore.a2a_protocol.cards import AGENTS, ENDPOINT, JWKS
from agentcore.a2a_protocol.delegation import api as interactions
from agentcore.a2a_protocol.dispatcher import Answer, Caller
from agentcore.a2a_protocol.envelope import error_response
from agentcore.a2a_protocol.errors import AgentNotFound, ContentTypeNotSupported
from agentcore.a2a_protocol.models.agent import STEPS, AgentStatus, Move
from agentcore.a2a_protocol.models.task import TaskQuery, TaskState
from agentcore.kit import jsonvalue
from agentcore.kit.errors import AgentCoreError, RequestTooLarge
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.security import principal_of
from agentcore.kit.storable import StorableText

if TYPE_CHECKING:
    from agentcore.a2a_protocol.runtime import A2ARuntime

    Runtime = Callable[[], A2ARuntime]

JSON = "application/json"
MEDIA_TYPES = frozenset({JSON, "application/a2a+json"})
CARD_PATHS = ("/.well-known/agent-card.json", "/.well-known/agent.json")
AGENT_ENDPOINT = f"{AGENTS}/{{agent_id}}"
VERSION = "a2a-version"
# Of A2A 1.0 and of 0.3; who asks by one of them is told by the same.
EXTENSION_HEADERS = ("a2a-extensions", "x-a2a-extensions")
ABOUT = """JSON-RPC 2.0; methods are told apart by the shape of their names.

| name | family |
|---|---|
| `SendMessage`, `SendStreamingMessage`, `GetTask`, `ListTasks`, `CancelTask`, `SubscribeToTask`, \
`CreateTaskPushNotificationConfig`, `GetExtendedAgentCard`, ... | \
A2A 1.0; send the header `A2A-Version: 1.0` |
| `message/send`, `message/stream`, `tasks/get`, `tasks/cancel`, `tasks/resubscribe` | A2A 0.3 |
| `agent.register`, `agent.discover`, `task.query`, `task.cancel`, ... | AgentCore |

Errors of calls are answers with status 200. Streams are Server-Sent Events.
"""
ABOUT_AGENT = "As `/a2a`; messages go to this agent, and only its tasks are seen."


# PostgreSQL's text holds every character but NUL.
STORABLE = r"^[^\x00]*$"
Id = Annotated[str, Path(max_length=1024, pattern=STORABLE)]
Limit = Annotated[int, Query(ge=1, le=100, description="Most rows of one page.")]
Cursor = Annotated[
    str | None, Query(max_length=4096, description="The next_cursor of the page before.")
]


class PlainRoute(APIRoute):
    """Documented like any route, and served without FastAPI reading parameters or bodies."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[None, None, Response]]:
        handler: Callable[[Request], Coroutine[None, None, Response]] = self.endpoint
        return handler


class AgentList(BaseModel):
    agents: list[JsonObject]
    next_cursor: str | None = None


class Moved(BaseModel):
    """Why an agent is taken to another state."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: StorableText = Field("", max_length=1024, description="For the agent's log.")


class TaskList(BaseModel):
    tasks: list[JsonObject]
    total: int
    next_cursor: str | None = None


NO_REASON = Moved(reason="")
Reason = Annotated[Moved, Body(examples=[{"reason": "new model"}])]


def router(runtime: Runtime, *, public_url: str = "") -> APIRouter:
    """All routes of the A2A side; ``public_url`` is how others reach the service."""
    api = APIRouter()
    api.include_router(_protocol(runtime, public_url))
    api.include_router(_agents(runtime))
    api.include_router(_internal(runtime))
    api.include_router(interactions.router(lambda: runtime().interactions))
    return api


def _protocol(runtime: Runtime, public_url: str) -> APIRouter:
    api = APIRouter(tags=["A2A"], route_class=PlainRoute)

    def base(request: Request) -> str:
        return (public_url or str(request.base_url)).rstrip("/")

    async def call(request: Request) -> Response:
        return await answer(runtime(), request, base(request), _agent_in(request))

    async def card(request: Request) -> Response:
        return card_response(runtime(), base(request), request, _agent_in(request))

    async def keys(_request: Request) -> Response:
        signer = runtime().cards.signer
        found: JsonObject = {"keys": []} if signer is None else signer.jwks()
        headers = {"cache-control": f"public, max-age={runtime().config.card_max_age}"}
        return Response(jsonvalue.dumps(found), headers=headers, media_type=JSON)

    _add_call(api, ENDPOINT, call, "Call the agent, its tasks and the registry", ABOUT)
    _add_call(api, AGENT_ENDPOINT, call, "Call one hosted agent", ABOUT_AGENT)
    for path in CARD_PATHS:
        _add_card(api, path, card, "The agent card")
        _add_card(api, AGENT_ENDPOINT + path, card, "The card of one hosted agent")
    api.add_api_route(
        JWKS,
        keys,
        methods=["GET"],
        summary="The keys that sign the agent cards",
        operation_id="card_keys",
        responses={200: {"description": "A JSON Web Key Set; empty where cards are not signed"}},
    )
    return api


Serve = Callable[[Request], Coroutine[None, None, Response]]


def _add_call(api: APIRouter, path: str, call: Serve, summary: str, about: str) -> None:
    schema = {"type": ["object", "array"]}
    content = {JSON: {"schema": schema, "examples": examples.REQUESTS}}
    api.add_api_route(
        path,
        call,
        methods=["POST"],
        summary=summary,
        description=about,
        operation_id="a2a" if path == ENDPOINT else "a2a_agent",
        responses=_CALL_RESPONSES,
        openapi_extra={
            "requestBody": {"required": True, "content": content},
            **_path_parameters(path),
        },
    )
    # Clients that join paths add a slash; a redirect would lose the body.
    api.add_api_route(path + "/", call, methods=["POST"], include_in_schema=False)


def _add_card(api: APIRouter, path: str, card: Serve, summary: str) -> None:
    api.add_api_route(
        path,
        card,
        methods=["GET"],
        summary=summary,
        operation_id=path.strip("/").replace("/", "_"),
        include_in_schema=path.endswith(CARD_PATHS[0]),
        openapi_extra=_path_parameters(path),
        responses={
            200: {"description": "A2A 1.0 card, with the members of 0.3 unless switched off"},
            304: {"description": "Not changed since the ETag in If-None-Match"},
        },
    )
    api.add_api_route(path, card, methods=["HEAD"], include_in_schema=False)


def _agent_in(request: Request) -> str:
    return str(request.path_params.get("agent_id", ""))


def _path_parameters(path: str) -> dict[str, object]:
    return {"parameters": [_AGENT_ID]} if "{agent_id}" in path else {}


def _agents(runtime: Runtime) -> APIRouter:
    api = APIRouter(prefix="/internal/agents", tags=["agents and tasks"])

    @api.get("", summary="Agents of the tenant", responses=_example(examples.AGENT, "agents"))
    async def agents(
        request: Request,
        status: Annotated[AgentStatus | None, Query(description="Only in this state.")] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> AgentList:
        """Newest first, terminated ones included."""
        found = await runtime().agents.list(
            principal_of(request.scope), limit=limit, cursor=cursor, status=status
        )
        listed = [agent.summary() for agent in found.agents]
        return AgentList(agents=listed, next_cursor=found.next_cursor)

    @api.post("", summary="Register an agent", responses=_example(examples.AGENT))
    async def register(
        request: Request,
        params: Annotated[RegisterParams, Body(openapi_examples=examples.REGISTRATIONS)],
    ) -> JsonObject:
        """By its card, or by the address of its card, which is then read again and again.

        Its owner may repeat it to change the card; the agent's state stays as it is.
        """
        made = await registered(runtime().agents, params, principal_of(request.scope))
        return made.summary()

    @api.post("/discover", summary="Find agents", responses=_example(examples.FOUND, "agents"))
    async def discover(
        request: Request,
        params: Annotated[DiscoverParams, Body(openapi_examples=examples.WISHES)],
    ) -> AgentList:
        """Active agents that fit, best first; hosted ones are among them.

        Of each kind that is asked for, at least one has to fit.
        """
        found = await discovered(runtime().directory, params, principal_of(request.scope))
        return AgentList.model_validate(found)

    @api.get("/{agent_id}", summary="One agent", responses=_example(examples.AGENT_DETAILS))
    async def agent(agent_id: Id, request: Request) -> JsonObject:
        """Everything that is known of it, with its card and the last lines of its log."""
        return await shown(runtime().agents, agent_id, principal_of(request.scope))

    @api.post("/{agent_id}/heartbeat", summary="Be heard", responses=_example(examples.AGENT))
    async def beat(agent_id: Id, request: Request) -> JsonObject:
        """The answer says in which state the agent is to be."""
        heard = await runtime().agents.beat(agent_id, principal_of(request.scope))
        return heard.summary()

    _add_erasure(api, runtime)
    for move in Move:
        _add_move(api, runtime, move)
    return api


def _add_erasure(api: APIRouter, runtime: Runtime) -> None:
    @api.delete("/{agent_id}", summary="Erase an agent", status_code=204)
    async def erase(agent_id: Id, request: Request) -> Response:
        """With its log, its playbook and its traces, for good. Possible from: terminated."""
        await runtime().agents.erase(agent_id, principal_of(request.scope))
        return Response(status_code=204)


def _add_move(api: APIRouter, runtime: Runtime, move: Move) -> None:
    step = STEPS[move]
    before = ", ".join(sorted(step.before))

    async def moved(
        agent_id: Id,
        request: Request,
        params: Annotated[Moved, Body(examples=[{"reason": "new model"}])] = NO_REASON,
    ) -> JsonObject:
        found = await runtime().agents.move(
            agent_id, move, principal_of(request.scope), reason=params.reason
        )
        return found.summary()

    api.add_api_route(
        f"/{{agent_id}}/{move.value}",
        moved,
        methods=["POST"],
        summary=f"{move.value.capitalize()} an agent",
        description=f"{examples.MOVES[move.value]} Possible from: {before}.",
        operation_id=f"agent_{move.value}",
        responses=_example({**examples.AGENT, "status": step.after.value}),
    )


def _internal(runtime: Runtime) -> APIRouter:
    api = APIRouter(prefix="/internal", tags=["agents and tasks"])

    @api.get("/tasks", summary="The caller's tasks", responses=_example(examples.TASK, "tasks"))
    async def tasks(
        request: Request,
        state: Annotated[TaskState | None, Query(description="Only in this state.")] = None,
        context_id: Annotated[str | None, Query(max_length=1024, pattern=STORABLE)] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> TaskList:
        wanted = TaskQuery(state=state, context_id=context_id, limit=limit, cursor=cursor)
        page = await runtime().tasks.page(principal_of(request.scope), wanted)
        return TaskList.model_validate(page)

    @api.get("/tasks/{task_id}", summary="One task", responses=_example(examples.TASK))
    async def task(task_id: Id, request: Request) -> JsonObject:
        return await runtime().tasks.get(principal_of(request.scope), task_id)

    return api


async def answer(
    runtime: A2ARuntime, request: Request, base: str = "", agent: str = ""
) -> Response:
    """Answer one HTTP request to the JSON-RPC endpoint, or to the one of ``agent``."""
    try:
        if agent and agent not in runtime.hosted:
            raise AgentNotFound(agent)
        check_media_type(request.headers.get("content-type", ""))
        raw = await read_body(request, runtime.config.max_body_bytes)
    except AgentCoreError as error:
        return Response(error_response(None, error), error.http_status, media_type=JSON)
    answered = await runtime.dispatcher.answer(raw, caller_of(request, base, agent))
    response = _response(answered)
    for name in EXTENSION_HEADERS:
        if active := activated(request.headers.getlist(name)):
            response.headers[name] = ", ".join(active)
    return response


def _response(answered: Answer) -> Response:
    if answered.stream is not None:
        return answered.stream
    if answered.body is None:
        return Response(status_code=204)
    return Response(answered.body, media_type=JSON)


def activated(asked: Sequence[str]) -> list[str]:
    """Those extensions of the card that the caller has asked for."""
    named = {each.strip() for header in asked for each in header.split(",")}
    return [each for each in EXTENSIONS if each in named]


def check_media_type(header: str) -> None:
    if header.partition(";")[0].strip().lower() not in MEDIA_TYPES:
        raise ContentTypeNotSupported(
            f"the media type {header[:80]!r} is not JSON", hint=f"send Content-Type: {JSON}"
        )


async def read_body(request: Request, most: int) -> bytes:
    """The body; refused as soon as it turns out to be larger than ``most`` bytes."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > most:
        raise _too_large(most)
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most:
            raise _too_large(most)
        chunks.append(chunk)
    return b"".join(chunks)


def caller_of(request: Request, base: str = "", agent: str = "") -> Caller:
    state = request.scope.get("state", {})
    # Most calls have no query, and each call comes through here.
    given = request.query_params if request.scope["query_string"] else {}
    query = {name.lower(): value for name, value in given.items()}
    return Caller(
        principal=principal_of(request.scope),
        request_id=state.get("request_id", ""),
        trace_id=state.get("trace_id", ""),
        traceparent=state.get("traceparent", ""),
        version=request.headers.get(VERSION) or query.get(VERSION, ""),
        agent=agent,
        base=base,
        headers=tuple(request.scope["headers"]),
    )


def card_response(runtime: A2ARuntime, base: str, request: Request, agent: str = "") -> Response:
    card = runtime.cards.at(base, agent)
    headers = {
        "etag": card.etag,
        "last-modified": card.modified,
        "cache-control": f"public, max-age={runtime.config.card_max_age}",
        "vary": "host",
    }
    known = request.headers.get("if-none-match", "")
    tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
    if tags & {card.etag, "*"}:
        return Response(status_code=304, headers=headers)
    return Response(card.body, headers=headers, media_type=JSON)


def _too_large(most: int) -> RequestTooLarge:
    return RequestTooLarge(
        f"the body has more than {most} bytes", hint="AGENTCORE_A2A__MAX_BODY_BYTES sets the limit"
    )


def _example(one: JsonObject, listed: str = "") -> dict[int | str, dict[str, object]]:
    example: JsonObject = {listed: [one], "next_cursor": None} if listed else one
    return {200: {"content": {JSON: {"example": example}}}}


_AGENT_ID: JsonObject = {
    "name": "agent_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "Of an agent that runs in this service.",
}
_CALL_RESPONSES: dict[int | str, dict[str, object]] = {
    200: {
        "description": "The answer, the answers of a batch, or a stream of answers",
        "content": {
            JSON: {
                "examples": {
                    "result": {"value": examples.SENT},
                    "error": {"value": examples.REFUSED},
                }
            },
            "text/event-stream": {},
        },
    },
    204: {"description": "Nothing to answer: the request was a notification"},
    413: {"description": "The body is too large (error -32600)"},
    415: {"description": "The media type is not JSON (error -32005)"},
}
