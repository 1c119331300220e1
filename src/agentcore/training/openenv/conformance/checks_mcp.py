"""OpenEnv's dialect of MCP, and sessions made by it that a socket attaches to."""

from __future__ import annotations

import asyncio
import json

from agentcore.kit.jsonvalue import JsonObject, JsonValue, list_of, object_of
from agentcore.training.openenv.conformance.judging import (
    NotApplicable,
    Violation,
    check,
    checks_of,
    require,
)
from agentcore.training.openenv.conformance.playing import reset, state
from agentcore.training.openenv.conformance.subject import PAUSE, Subject
from agentcore.training.openenv.conformance.wire import NoSession, Talk, refusal_of

DIALECT, SESSIONS = "HTTP: POST /mcp", "HTTP: POST /mcp, openenv/session"
METHOD_NOT_FOUND, INVALID_PARAMS = -32601, -32602
PARSE_ERROR, SERVER_ERROR = -32700, -32000


@check("mcp", "/mcp answers tools/list as JSON-RPC 2.0", DIALECT)
async def mcp(subject: Subject) -> None:
    answer = await _rpc(subject, "tools/list")
    if "error" in answer:
        # An environment without tools says so; how, is for it to choose.
        require(isinstance(_error_code(answer), int), "an error with a code", answer)
        return
    tools = object_of(answer.get("result")).get("tools")
    require(isinstance(tools, list), "a list of tools", answer)
    named = all(isinstance(object_of(tool).get("name"), str) for tool in list_of(tools))
    require(named, "tools with names", answer)


@check("mcp-unknown-method", "/mcp answers an unknown method with -32601", DIALECT)
async def mcp_unknown_method(subject: Subject) -> None:
    answer = await _rpc(subject, "agentcore/conformance/unheard-of")
    require(_error_code(answer) == METHOD_NOT_FOUND, f"error {METHOD_NOT_FOUND}", answer)


@check("mcp-frames", "Frames of type mcp are answered in their session", "WS /ws: mcp")
async def mcp_frames(subject: Subject) -> None:
    request: JsonObject = {"jsonrpc": "2.0", "id": 3, "method": "tools/list", "params": {}}
    async with subject.session() as talk:
        answer = await talk.ask("mcp", request)
        if (refusal_of(answer) or {}).get("code") == "UNKNOWN_TYPE":
            raise NotApplicable("the server takes no mcp frames")
        data = object_of(answer.get("data"))
        right = answer.get("type") == "mcp" and data.get("id") == 3 and data.get("jsonrpc") == "2.0"
        require(right, "a frame of type mcp with the response of the same id", answer)


@check("mcp-socket", "The socket /mcp answers JSON-RPC, also what is no JSON", "WS /mcp")
async def mcp_socket(subject: Subject) -> None:
    request = {"jsonrpc": "2.0", "id": 5, "method": "agentcore/conformance/unheard-of"}
    try:
        async with subject.socket(path="/mcp") as talk:
            answer = await talk.raw(json.dumps(request))
            right = answer.get("id") == 5 and answer.get("jsonrpc") == "2.0"
            require(right, "a JSON-RPC 2.0 response of the same id", answer)
            broken = await talk.raw("{")
            require(_error_code(broken) == PARSE_ERROR, f"error {PARSE_ERROR} for {{", broken)
    except NoSession as refused:
        raise NotApplicable(f"there is no socket /mcp ({refused.code})") from refused


@check("attach", "A socket attaches to a session by its id, and only one does", SESSIONS)
async def attach(subject: Subject) -> None:
    session_id = await _created(subject)
    try:
        async with subject.socket(f"?session_id={session_id}") as talk:
            await reset(talk, subject.plan.seed, episode_id="attached")
            await state(talk)
            async with subject.socket(f"?session_id={session_id}") as second:
                code = await _refusal(second)
                require(code == "SESSION_ERROR", "SESSION_ERROR for a second socket", code)
            await state(talk)
            await talk.post("close")
            await talk.closing()
    finally:
        await _rpc(subject, "openenv/session/close", session_id=session_id)


@check("unknown-session", "A session_id that is nobody's is SESSION_ERROR", "WS /ws?session_id=")
async def unknown_session(subject: Subject) -> None:
    nobodys = "agentcore-conformance-nobodys"
    closed = await _rpc(subject, "openenv/session/close", session_id=nobodys)
    if _error_code(closed) == METHOD_NOT_FOUND:
        raise NotApplicable("the server makes no sessions to attach to")
    async with subject.socket(f"?session_id={nobodys}") as talk:
        data = refusal_of(await talk.next()) or {}
        require(data.get("code") == "SESSION_ERROR", "SESSION_ERROR before any frame", data)
        code = await talk.closing()
        require(code == 1000, "close code 1000", code)


@check("session-close", "A session that was closed is gone, and its slot with it", SESSIONS)
async def session_close(subject: Subject) -> None:
    session_id = await _created(subject)
    closed = await _rpc(subject, "openenv/session/close", session_id=session_id)
    said = object_of(closed.get("result")).get("closed")
    require(said is True, "closed to be true", closed)
    again = await _rpc(subject, "openenv/session/close", session_id=session_id)
    require(_error_code(again) == INVALID_PARAMS, f"error {INVALID_PARAMS} the second time", again)
    async with subject.socket(f"?session_id={session_id}") as talk:
        code = await _refusal(talk)
        require(code == "SESSION_ERROR", "SESSION_ERROR for its socket", code)


async def _created(subject: Subject) -> str:
    """A new session's id; while every slot is taken, it waits as sockets do."""
    waited = 0.0
    while True:
        answer = await _rpc(subject, "openenv/session/create")
        code = _error_code(answer)
        if code != SERVER_ERROR or waited >= subject.plan.settle_seconds:
            break
        await asyncio.sleep(PAUSE)
        waited += PAUSE
    if code == METHOD_NOT_FOUND:
        raise NotApplicable("the server makes no sessions by /mcp")
    if code == SERVER_ERROR:
        raise NoSession(str(code), str(object_of(answer.get("error")).get("message")))
    session_id = object_of(answer.get("result")).get("session_id")
    if not isinstance(session_id, str) or not session_id:
        raise Violation("a session_id", str(answer)[:300])
    return session_id


async def _rpc(subject: Subject, method: str, **params: JsonValue) -> JsonObject:
    body: JsonObject = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
    answer = await subject.post("/mcp", body)
    if answer.status in {401, 403, 404, 405}:
        raise NotApplicable(f"POST /mcp answers {answer.status}: it is not offered")
    response = answer.members
    right = answer.status == 200 and response.get("jsonrpc") == "2.0" and response.get("id") == 7
    require(right, "200 and a JSON-RPC 2.0 response of the same id", str(answer))
    # A server may write both members, one of them null.
    return {name: value for name, value in response.items() if value is not None}


async def _refusal(talk: Talk) -> JsonValue:
    """The code of the error frame that comes unasked, or before the state."""
    await talk.post("state")
    return (refusal_of(await talk.next()) or {}).get("code")


def _error_code(answer: JsonObject) -> JsonValue:
    return object_of(answer.get("error")).get("code")


CHECKS = checks_of(globals())
