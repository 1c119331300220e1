"""OpenEnv's dialect of MCP at ``/mcp`` and in frames of ``/ws``: JSON-RPC without a handshake.

As upstream has it: every request is answered with HTTP 200, notifications too, members are in
snake case, and ``error.data`` is always there. The tools are the environment's action types.
"""

from __future__ import annotations

from pydantic import ConfigDict, ValidationError

from agentcore.a2a_protocol.models.jsonrpc import JsonRpcRequest
from agentcore.kit.errors import RPC_INTERNAL, RPC_INVALID_PARAMS, AgentCoreError, Forbidden
from agentcore.kit.jsonvalue import JsonObject, JsonValue, dumps, loads, object_of
from agentcore.kit.security import Principal
from agentcore.training.openenv.environments.base import AnyEnvironment
from agentcore.training.openenv.environments.tools import Tool, tools_of
from agentcore.training.openenv.errors import (
    CapacityReached,
    EnvironmentSessionNotFound,
    FactoryFailed,
)
from agentcore.training.openenv.serving.hosting import EnvironmentHost, faults_of
from agentcore.training.openenv.serving.slots import ACT, CONTROL, HostedSession, Slots

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, SERVER_ERROR = -32700, -32600, -32601, -32000


class StrictRequest(JsonRpcRequest):
    """A member more is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Refused(Exception):
    """The request ends with a JSON-RPC error."""

    def __init__(self, code: int, message: str, data: JsonValue = None) -> None:
        super().__init__(message)
        self.error: JsonObject = {"code": code, "message": message, "data": data}


class McpDialect:
    """Answers requests, inside a session of a socket or for those that name one."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._tools: list[Tool] | None = None

    async def answer_text(
        self, text: bytes | str, caller: Principal, session: HostedSession | None = None
    ) -> bytes:
        try:
            request = loads(text)
        except ValueError:
            return dumps(_response(None, Refused(PARSE_ERROR, "Parse error")))
        if not isinstance(request, dict):
            return dumps(_response(None, Refused(PARSE_ERROR, "Parse error")))
        return dumps(await self.answer(request, caller, session))

    async def answer(
        self, request: JsonObject, caller: Principal, session: HostedSession | None = None
    ) -> JsonObject:
        """``session`` is the one of the socket that the request came by."""
        try:
            asked = StrictRequest.model_validate({"jsonrpc": None, **request})
        except ValidationError as exc:
            faults = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in exc.errors()]
            message = f"Invalid request: {'; '.join(faults)}"
            return _response(None, Refused(INVALID_REQUEST, message))
        try:
            result = await self._result(asked, caller, session)
        except Refused as refused:
            return _response(asked.id, refused)
        except AgentCoreError as error:
            return _response(asked.id, refusal_of(error, self._slots.name))
        return {"jsonrpc": "2.0", "id": asked.id, "result": result}

    async def tools(self) -> list[Tool]:
        if self._tools is None:
            self._tools = await self._slots.ask(_tools)
        return self._tools

    async def _result(
        self, asked: StrictRequest, caller: Principal, session: HostedSession | None
    ) -> JsonObject:
        params = asked.params or {}
        match asked.method:
            case "openenv/session/create":
                opened = session or await self._slots.open(caller)
                return {"session_id": opened.session_id}
            case "openenv/session/close":
                return await self._close(params, caller, session)
            case "tools/list":
                self._named(params, caller, session)
                return {"tools": [tool._asdict() for tool in await self.tools()]}
            case "tools/call":
                return await self._call(params, caller, session)
            case other:
                raise Refused(METHOD_NOT_FOUND, f"Method not found: {other}")

    async def _close(
        self, params: JsonObject, caller: Principal, own: HostedSession | None
    ) -> JsonObject:
        caller.require(CONTROL)
        session_id = params.get("session_id")
        if not isinstance(session_id, str) or not session_id:
            raise Refused(RPC_INVALID_PARAMS, "Invalid params - 'session_id' is required")
        if own is not None and own.session_id == session_id:
            message = "Cannot close active WebSocket-managed session via MCP method"
            raise Refused(INVALID_REQUEST, message)
        if await self._slots.close(self._slots.find(session_id, caller)):
            return {"session_id": session_id, "closed": True}
        return {"session_id": session_id, "closed": False, "closing": True}

    async def _call(
        self, params: JsonObject, caller: Principal, own: HostedSession | None
    ) -> JsonObject:
        session = self._named(params, caller, own)
        if session is not None:
            return await self._step(session.host, params, caller)
        caller.require(ACT)
        host = await self._slots.make()
        try:
            return await self._step(host, params, None)
        finally:
            await host.close()

    async def _step(
        self, host: EnvironmentHost, params: JsonObject, caller: Principal | None
    ) -> JsonObject:
        """``caller`` None: the environment is this call's alone."""
        if caller is not None:
            caller.require(ACT)
        name, arguments = params.get("name"), params.get("arguments", {})
        if not isinstance(name, str) or not name:
            raise Refused(RPC_INVALID_PARAMS, "Missing 'name' in params")
        if not isinstance(arguments, dict):
            raise Refused(RPC_INVALID_PARAMS, "'arguments' must be an object")
        # The dialect has no reset: whoever may reset begins the first episode by the first call.
        if caller is None or caller.may(CONTROL):
            await host.run(host.begin, {})
        return call_result(await played(host, name, arguments))

    def _named(
        self, params: JsonObject, caller: Principal, own: HostedSession | None
    ) -> HostedSession | None:
        session_id = params.get("session_id")
        if own is not None or not session_id:
            return own
        return self._slots.find(str(session_id), caller)


def _tools(environment: AnyEnvironment) -> list[Tool]:
    return tools_of(environment.action_space())


async def played(host: EnvironmentHost, name: str, arguments: JsonObject) -> JsonObject:
    """The envelope of a step whose action's type is the tool's name."""
    action: JsonObject = {"type": name, "parameters": arguments}
    return object_of(loads(await host.run(host.step, action)))


def call_result(envelope: JsonObject) -> JsonObject:
    """What a tool call returns: the step's envelope, as text and as it is."""
    return {
        "content": [{"type": "text", "text": dumps(envelope).decode()}],
        "structured_content": envelope,
        "meta": None,
        "data": envelope,
        "is_error": False,
    }


def refusal_of(error: AgentCoreError, factory_name: str) -> Refused:
    """``error`` with upstream's code where upstream has one."""
    match error:
        case CapacityReached():
            data: JsonObject = {"active_sessions": error.active, "max_sessions": error.maximum}
            return Refused(SERVER_ERROR, str(error), data)
        case FactoryFailed():
            return Refused(SERVER_ERROR, str(error), {"factory_name": factory_name})
        case EnvironmentSessionNotFound():
            return Refused(RPC_INVALID_PARAMS, str(error), {"code": error.code})
        case Forbidden():
            return Refused(error.rpc_code, str(error), {"code": error.code, "hint": error.hint})
        case _:
            return _failed(error)


def _failed(error: AgentCoreError) -> Refused:
    faults = faults_of(error)
    if faults is not None:
        return Refused(RPC_INVALID_PARAMS, str(error), {"code": error.code, "errors": [*faults]})
    return Refused(RPC_INTERNAL, str(error), {"code": error.code})


def _response(request_id: str | int | None, refused: Refused) -> JsonObject:
    return {"jsonrpc": "2.0", "id": request_id, "error": refused.error}
