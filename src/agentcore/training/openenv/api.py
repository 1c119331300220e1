"""/internal/environments: what can be opened, the caller's sessions, and their events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing, suppress
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response, WebSocket
from starlette.requests import Request
from starlette.websockets import WebSocketDisconnect

from agentcore.kit.errors import AgentCoreError, problem
from agentcore.kit.jsonvalue import dumps
from agentcore.kit.loopback import check_origin
from agentcore.kit.security import principal_of
from agentcore.kit.server_events import HEARTBEAT, EventResponse
from agentcore.training.openenv.models import (
    EnvironmentEntry,
    EnvironmentPage,
    SessionPage,
    SessionView,
)
from agentcore.training.openenv.sessions import EnvironmentSessions
from agentcore.training.openenv.subscriptions import Subscription

ROOT = "/internal/environments"
Responses = dict[int | str, dict[str, object]]
Sessions = Callable[[], EnvironmentSessions]
Limit = Annotated[int, Query(ge=1, le=200, description="Most entries of one page.")]
Cursor = Annotated[str, Query(max_length=256, description="`next_cursor` of the page before.")]
After = Annotated[
    str | None,
    Query(
        max_length=256,
        description="Id of the last event seen; `0`: all that are kept; left out: new ones.",
    ),
]
LastEventId = Annotated[str | None, Header(max_length=256, description="Wins over `after`.")]
# WebSocket close codes (RFC 6455, section 7.4.1, and IANA's registry).
NORMAL, GOING_AWAY = 1000, 1001
HEARTBEAT_FRAME = b'{"jsonrpc":"2.0","method":"environment.heartbeat"}'
EXAMPLE = {
    "name": "guess_number",
    "source": "bundled",
    "url": None,
    "info": {
        "name": "guess_number",
        "version": "1.0.0",
        "description": "Find a number from 1 to 100 by its hints.",
        "observation_space": {"type": "object"},
        "action_space": {"title": "GuessNumberAction", "type": "object"},
        "max_episode_steps": 10,
        "mode": "simulation",
    },
}
SESSION = {
    "session_id": "training-7",
    "environment": "guess_number",
    "agents": ["player"],
    "phase": "playing",
    "episodes": 1,
    "steps": 3,
    "idle_seconds": 0.8,
    "last_event_id": "9f2ac41b77d0-4",
}
EVENT = (
    "id: 9f2ac41b77d0-4\n"
    'data: {"jsonrpc":"2.0","method":"environment.state_changed","params":{"state":'
    '{"hint":"low"},"metadata":{},"event_id":"9f2ac41b77d0-4","session_id":"training-7",'
    '"kind":"step","step":3,"reward":-0.1,"terminated":false,"truncated":false}}\n\n'
)


def router(sessions: Sessions) -> APIRouter:
    api = APIRouter(tags=["environments"])
    # Before the routes of environments: no environment is called sessions.
    api.include_router(_sessions(sessions))
    api.include_router(_events(sessions))
    api.include_router(_environments(sessions))
    return api


def _environments(sessions: Sessions) -> APIRouter:
    api = APIRouter(prefix=ROOT)

    @api.get(
        "",
        summary="List environments",
        responses=example({"environments": [EXAMPLE], "next_cursor": None}),
    )
    async def list_environments(limit: Limit = 50, cursor: Cursor = "") -> EnvironmentPage:
        """Bundled, configured and registered environments by name; no server is asked."""
        return await sessions().inventory.listed(limit=limit, cursor=cursor)

    @api.get(
        "/{name}",
        summary="Describe an environment",
        responses={
            **example(EXAMPLE),
            404: {"description": "No such environment."},
            409: {"description": "The name means several environments: give the id of one."},
            502: {"description": "The remote server answers, but not as OpenEnv does."},
            503: {"description": "The remote server cannot be reached."},
        },
    )
    async def describe_environment(name: str) -> EnvironmentEntry:
        """One environment with its spaces; the server of a remote one is asked."""
        return await sessions().inventory.environment(name)

    return api


def _sessions(sessions: Sessions) -> APIRouter:
    api = APIRouter(prefix=f"{ROOT}/sessions")
    missing: Responses = {404: {"description": "No such session, or not one of the caller's."}}

    @api.get(
        "",
        summary="List the caller's sessions",
        responses=example({"sessions": [SESSION], "next_cursor": None}),
    )
    async def list_sessions(
        request: Request, limit: Limit = 50, cursor: Cursor = ""
    ) -> SessionPage:
        """Sessions that the caller opened in this replica, the oldest first."""
        return sessions().page(principal_of(request.scope), limit=limit, cursor=cursor)

    @api.get("/{session_id}", summary="Show a session", responses={**example(SESSION), **missing})
    async def show_session(session_id: str, request: Request) -> SessionView:
        return sessions().view(principal_of(request.scope), session_id)

    @api.delete(
        "/{session_id}",
        summary="Close a session",
        status_code=204,
        responses={**missing, 403: {"description": "The scope `env:control` is missing."}},
    )
    async def close_session(session_id: str, request: Request) -> Response:
        principal = principal_of(request.scope)
        principal.require("env:control")
        await sessions().close(principal, session_id)
        return Response(status_code=204)

    return api


def _events(sessions: Sessions) -> APIRouter:
    api = APIRouter(prefix=f"{ROOT}/sessions")

    @api.get(
        "/{session_id}/events",
        summary="Watch a session by Server-Sent Events",
        response_class=Response,
        responses={
            200: {"content": {"text/event-stream": {"example": EVENT}}},
            404: {"description": "No such session, or not one of the caller's."},
            429: {"description": "The session has as many watchers as it may have."},
        },
    )
    async def watch_session(
        session_id: str, request: Request, after: After = None, last_event_id: LastEventId = None
    ) -> Response:
        """JSON-RPC notifications `environment.state_changed`, until the session closes."""
        place = after if last_event_id is None else last_event_id
        events = sessions().follow(principal_of(request.scope), session_id, place)
        return EventResponse(aiter(events))

    @api.websocket("/{session_id}/ws")
    async def watch_by_websocket(
        websocket: WebSocket, session_id: str, after: After = None
    ) -> None:
        try:
            # A browser opens sockets for any page: only pages of this host may watch.
            check_origin(websocket.scope)
            events = sessions().follow(principal_of(websocket.scope), session_id, after)
        except AgentCoreError as error:
            await _deny(websocket, error)
            return
        await websocket.accept()
        await _tell(websocket, events)

    return api


async def _tell(websocket: WebSocket, events: Subscription) -> None:
    """Send events until they end or the watcher goes; what it sends is not looked at."""
    async with asyncio.TaskGroup() as tasks:
        leaving = tasks.create_task(_left(websocket))
        telling = tasks.create_task(_send(websocket, events))
        await asyncio.wait((leaving, telling), return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        telling.cancel()


async def _send(websocket: WebSocket, events: Subscription) -> None:
    with suppress(WebSocketDisconnect):
        async with aclosing(aiter(events)) as each:
            async for event in each:
                frame = HEARTBEAT_FRAME if event is HEARTBEAT else event.data
                await websocket.send_text(frame.decode())
        await websocket.close(NORMAL if events.closed else GOING_AWAY)


async def _left(websocket: WebSocket) -> None:
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


async def _deny(websocket: WebSocket, error: AgentCoreError) -> None:
    if "websocket.http.response" in websocket.scope.get("extensions", {}):
        body = dumps(problem(error, instance=websocket.url.path))
        media_type = "application/problem+json"
        await websocket.send_denial_response(
            Response(body, error.http_status, media_type=media_type)
        )
    else:
        await websocket.close(1008, error.detail[:120])


def example(value: object, status: int = 200) -> Responses:
    return {status: {"content": {"application/json": {"example": value}}}}
