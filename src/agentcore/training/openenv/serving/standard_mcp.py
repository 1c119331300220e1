"""Standard MCP at ``/mcp/standard``: the official SDK's Streamable HTTP, with the actions as tools.

Which session a call plays in: the one that the URL names (``?session_id=``), else one of the
client's own, which the first call opens. Protocol versions with a handshake have a session per
client; 2026-07-28 has no sessions, and there it is one per caller.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from anyio import to_thread

from agentcore.kit.errors import AgentCoreError, InvalidInput
from agentcore.kit.jsonvalue import JsonObject, dumps, loads, object_of
from agentcore.kit.security import Principal
from agentcore.training.openenv.errors import (
    EnvironmentSessionNotFound,
    SessionLost,
    StandardMcpMissing,
    StandardMcpStopped,
)
from agentcore.training.openenv.serving.callers import caller_of, requested_session
from agentcore.training.openenv.serving.dialect import McpDialect, played
from agentcore.training.openenv.serving.hosting import EnvironmentHost, faults_of
from agentcore.training.openenv.serving.slots import ACT, CONTROL, HostedSession, Slots
from agentcore.training.openenv.serving.transports import Transports

if TYPE_CHECKING:
    from mcp import types
    from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
    from mcp.server.context import ServerRequestContext
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from starlette.types import Receive, Scope, Send

RESET: JsonObject = {
    "name": "reset",
    "description": "Start an episode. The same seed, options and actions give the same episode.",
    "inputSchema": {
        "type": "object",
        "properties": {
            "seed": {"type": "integer", "minimum": 0},
            "options": {"type": "object", "description": "Reset options of the environment."},
        },
        "additionalProperties": False,
    },
}
ANSWER_SECONDS = 10.0

Refuse = Callable[["Scope", "Receive", "Send", AgentCoreError], Awaitable[None]]


class StandardMcp:
    """ASGI endpoint; the SDK is loaded by the first request, and runs inside ``run``."""

    def __init__(self, slots: Slots, dialect: McpDialect, refuse: Refuse) -> None:
        self._slots = slots
        self._dialect = dialect
        self._refuse = refuse
        self._wanted: asyncio.Event | None = None
        self._manager: asyncio.Future[StreamableHTTPSessionManager] | None = None
        # Environment sessions by caller and the client's own session.
        self._sessions: dict[tuple[str, str, str], str] = {}
        # Held by whoever opens one.
        self._turns: WeakValueDictionary[tuple[str, str, str], asyncio.Lock] = WeakValueDictionary()
        self._transports = Transports(slots.config, slots.clock)

    async def run(self) -> None:
        """Serve until cancelled; whoever runs the server owns this task."""
        self._manager = asyncio.get_running_loop().create_future()
        self._wanted = asyncio.Event()
        try:
            await self._wanted.wait()
            manager = await to_thread.run_sync(self._made)
            async with manager.run():
                self._manager.set_result(manager)
                await asyncio.Event().wait()
        finally:
            self._manager = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            manager = await self._running()
        except AgentCoreError as error:
            await self._refuse(scope, receive, send, error)
            return
        # The SDK lets a session be used, and ended, by the user who began it alone.
        scope["user"] = _sdk_user(caller_of(scope))
        try:
            await self._transports.serve(manager.handle_request, scope, receive, send)
        except AgentCoreError as error:
            await self._refuse(scope, receive, send, error)
            return
        if scope["method"] == "DELETE":
            await self._left(_key(scope))

    async def _running(self) -> StreamableHTTPSessionManager:
        try:
            await to_thread.run_sync(importlib.import_module, "mcp.server.lowlevel")
        except ModuleNotFoundError as exc:
            raise StandardMcpMissing(
                "standard MCP is not installed here", hint="pip install 'agentcore[mcp]'"
            ) from exc
        if self._manager is None or self._wanted is None:
            raise StandardMcpStopped("standard MCP is not running", hint="repeat the request")
        self._wanted.set()
        async with asyncio.timeout(ANSWER_SECONDS):
            return await asyncio.shield(self._manager)

    def _made(self) -> StreamableHTTPSessionManager:
        from mcp.server.lowlevel import Server
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

        with self._slots.lent() as environment:
            version = environment.version
        server: Server[dict[str, Any]] = Server(
            self._slots.name,
            version=version,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
        )
        limits = self._slots.config
        return StreamableHTTPSessionManager(
            server,
            json_response=True,
            session_idle_timeout=limits.session_idle_seconds,
            max_sessions=limits.max_sessions,
        )

    async def _list_tools(
        self, context: ServerRequestContext[dict[str, Any]], _: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        from mcp import types

        own: list[JsonObject] = [
            {"name": tool.name, "description": tool.description, "inputSchema": tool.input_schema}
            for tool in await self._dialect.tools()
        ]
        listed = [RESET, *own] if caller_of(_scope(context)).may(CONTROL) else own
        return types.ListToolsResult.model_validate({"tools": listed})

    async def _call_tool(
        self, context: ServerRequestContext[dict[str, Any]], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        scope = _scope(context)
        try:
            envelope = await self._play(scope, params.name, dict(params.arguments or {}))
        except AgentCoreError as error:
            told: JsonObject = {"code": error.code, "message": str(error), "hint": error.hint}
            if (faults := faults_of(error)) is not None:
                told["errors"] = [*faults]
            return _result(told, is_error=True)
        return _result(envelope, is_error=False)

    async def _play(self, scope: Scope, name: str, arguments: JsonObject) -> JsonObject:
        caller = caller_of(scope)
        caller.require(CONTROL if name == "reset" else ACT)
        if name != "reset" and name not in {tool.name for tool in await self._dialect.tools()}:
            raise InvalidInput(f"there is no tool {name!r}", hint="tools/list names them")
        session = await self._session(scope, caller, anew=name == "reset")
        host = session.host
        if name == "reset":
            return await _reset(host, arguments)
        if caller.may(CONTROL):
            await host.run(host.begin, {})
        return await played(host, name, arguments)

    async def _session(self, scope: Scope, caller: Principal, *, anew: bool) -> HostedSession:
        """The session of this client; ``anew`` lets another take the place of one that has ended.

        Raises:
            SessionLost: it has ended, and going on would mean to act in an episode of nobody's.
        """
        if asked_for := requested_session(scope):
            return self._slots.find(asked_for, caller)
        key = _key(scope)
        # Clients call several tools at once, also the first ones.
        async with self._turns.setdefault(key, asyncio.Lock()):
            try:
                return self._slots.find(self._sessions[key], caller)
            except KeyError:
                pass
            except EnvironmentSessionNotFound as exc:
                if not anew:
                    detail = "the session of this client has ended, and its episode with it"
                    raise SessionLost(detail, hint="reset starts another") from exc
            session = await self._slots.open(caller)
            self._sessions[key] = session.session_id
            return session

    async def _left(self, key: tuple[str, str, str]) -> None:
        session_id = self._sessions.pop(key, "")
        with suppress(EnvironmentSessionNotFound):
            tenant, subject, _ = key
            owner = Principal(subject=subject, tenant=tenant, scopes=frozenset())
            await self._slots.close(self._slots.find(session_id, owner))


async def _reset(host: EnvironmentHost, arguments: JsonObject) -> JsonObject:
    options = arguments.get("options", {})
    if not isinstance(options, dict) or arguments.keys() - {"seed", "options"}:
        raise InvalidInput("reset takes seed and options, an object")
    request = {**options, **({"seed": arguments["seed"]} if "seed" in arguments else {})}
    return object_of(loads(await host.run(host.reset, request)))


def _scope(context: ServerRequestContext[dict[str, Any]]) -> Scope:
    request: Any = context.request
    scope: Scope = request.scope
    return scope


def _sdk_user(caller: Principal) -> AuthenticatedUser:
    from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
    from mcp.server.auth.provider import AccessToken

    # It compares client and subject; the credential itself is none of its business.
    return AuthenticatedUser(
        AccessToken(token="", client_id=caller.tenant, scopes=[], subject=caller.subject)
    )


def _key(scope: Scope) -> tuple[str, str, str]:
    caller = caller_of(scope)
    own = next((value for name, value in scope["headers"] if name == b"mcp-session-id"), b"")
    return caller.tenant, caller.subject, own.decode("latin-1")


def _result(told: JsonObject, *, is_error: bool) -> types.CallToolResult:
    from mcp import types

    return types.CallToolResult(
        content=[types.TextContent(type="text", text=dumps(told).decode())],
        structured_content=told,
        is_error=is_error,
    )
