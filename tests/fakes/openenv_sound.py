"""A small OpenEnv server that does everything right, in pieces that a test can break one by one."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.fakes.openenv_servers import Frame, refusal

LIMIT = 3
ORCHESTRATOR, AGENT = "orchestrators-token", "agents-token"
LAST_STEP = 4
ACTION: Frame = {
    "title": "WalkAction",
    "type": "object",
    "properties": {
        "move": {"type": "integer", "minimum": 1, "maximum": 9},
        "metadata": {"type": "object"},
    },
    "required": ["move"],
    "additionalProperties": False,
}
OBSERVATION: Frame = {
    "type": "object",
    "properties": {"place": {"type": "integer"}, "noise": {"type": "number"}},
    "required": ["place", "noise"],
}
STATE: Frame = {"type": "object", "required": ["episode_id", "step_count", "goal"]}
FRAMES: dict[str, set[str]] = {
    "reset": {"data"},
    "step": {"data"},
    "mcp": {"data"},
    "state": set(),
    "close": set(),
    "render": set(),
}


class Refusal(Exception):
    def __init__(self, code: str, *errors: str) -> None:
        super().__init__(code)
        faults: list[Frame] = [
            {"loc": [error], "msg": "wrong", "type": "value_error"} for error in errors
        ]
        self.frame = refusal(code, errors=faults) if faults else refusal(code)
        self.faults = faults


class Leaving(Exception):
    """The session is over; ``last`` goes first."""

    def __init__(self, last: Frame | None = None, code: int = 1000) -> None:
        super().__init__()
        self.last, self.code = last, code


@dataclass
class Walk:
    """One episode after the other."""

    random: Random = field(default_factory=lambda: Random(0))
    episode_id: str | None = None
    steps: int = 0
    place: int = 0
    begun: bool = False
    done: bool = False
    states: int = 0
    attached: bool = False


class SoundServer:
    def __init__(self) -> None:
        self.active = 0
        self.made: dict[str, Walk] = {}

    # pages

    def health(self) -> Any:
        return {"status": "healthy"}

    def metadata(self) -> Frame:
        capacity = {"active": self.active, "maximum": LIMIT}
        features = ["terminated_truncated", "render"]
        empty = ("author", "readme_content", "documentation_url")
        return {
            "name": "walk",
            "description": "A walk.",
            "version": "1",
            **dict.fromkeys(empty),
            "agentcore": {"capacity": capacity, "features": features, "max_episode_steps": 4},
        }

    def schema(self) -> Frame:
        return {"action": ACTION, "observation": OBSERVATION, "state": STATE}

    def openapi(self) -> Any:
        return {"openapi": "3.1.0", "info": {"title": "walk", "version": "1.0.0"}}

    def ready(self) -> Any:
        return {"status": "ready"}

    # the environment

    def reset(self, walk: Walk, data: Frame) -> Frame:
        walk.random = self.chance(data.get("seed"))
        walk.episode_id = data.get("episode_id")
        walk.steps = self.first_count(walk)
        walk.place, walk.begun, walk.done = 0, True, False
        return self.shown(walk, None)

    def chance(self, seed: int | None) -> Random:
        return Random(seed)

    def first_count(self, walk: Walk) -> int:
        return 0

    def step(self, walk: Walk, action: Frame) -> Frame:
        self.judge(action)
        if walk.done:
            return self.after_the_end(walk)
        if not walk.begun:
            return self.before_the_start(walk)
        walk.steps += 1
        walk.place += action["move"]
        walk.done = walk.steps >= LAST_STEP + self.first_count(Walk())
        return self.shown(walk, 0.5)

    def after_the_end(self, walk: Walk) -> Frame:
        raise Refusal("EXECUTION_ERROR")

    def before_the_start(self, walk: Walk) -> Frame:
        raise Refusal("EXECUTION_ERROR")

    def judge(self, action: Frame) -> None:
        move = action.get("move")
        if not isinstance(move, int) or not 1 <= move <= 9 or set(action) - {"move", "metadata"}:
            raise Refusal("VALIDATION_ERROR", "move")

    def shown(self, walk: Walk, reward: float | None) -> Frame:
        metadata = {"terminated": walk.done, "truncated": False}
        observation = {"place": walk.place, "noise": walk.random.random(), "metadata": metadata}
        return {"observation": observation, "reward": reward, "done": walk.done}

    def state(self, walk: Walk) -> Frame:
        return {"episode_id": walk.episode_id, "step_count": walk.steps, "goal": 30}

    def render(self, walk: Walk) -> Any:
        return base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()

    # sessions

    def token(self, socket: WebSocket) -> str:
        return socket.headers.get("authorization", "").removeprefix("Bearer ")

    def allowed(self, token: str) -> bool:
        return token in {ORCHESTRATOR, AGENT}

    def welcome(self, origin: str) -> bool:
        return not origin

    def may_reset(self, token: str) -> bool:
        return token != AGENT

    def full(self) -> bool:
        return self.active >= LIMIT

    def admit(self) -> Walk:
        if self.full():
            full = refusal("CAPACITY_REACHED", active_sessions=self.active, max_sessions=LIMIT)
            raise Leaving(full)
        self.active += 1
        return Walk()

    def attach(self, session_id: str) -> Walk:
        walk = self.made.get(session_id)
        if walk is None:
            return self.unknown_session()
        if walk.attached:
            return self.attached_twice(walk)
        walk.attached = True
        return walk

    def unknown_session(self) -> Walk:
        raise Leaving(refusal("SESSION_ERROR"))

    def attached_twice(self, walk: Walk) -> Walk:
        raise Leaving(refusal("SESSION_ERROR"))

    def release(self, how: str) -> None:
        self.active -= 1

    async def socket(self, socket: WebSocket) -> None:
        token, session_id = self.token(socket), socket.query_params.get("session_id")
        if not self.allowed(token) or not self.welcome(socket.headers.get("origin", "")):
            await socket.close()
            return
        await socket.accept()
        walk: Walk | None = None
        how = "close"
        with suppress(WebSocketDisconnect, RuntimeError):
            try:
                walk = self.attach(session_id) if session_id else self.admit()
                await self.converse(socket, walk, token)
            except Leaving as leaving:
                if leaving.last is not None:
                    await socket.send_text(json.dumps(leaving.last))
                await socket.close(leaving.code)
            except WebSocketDisconnect as gone:
                how = "gone" if gone.code == 1000 else "cut"
        if walk is not None and session_id:
            walk.attached = False
        elif walk is not None:
            self.release(how)

    async def converse(self, socket: WebSocket, walk: Walk, token: str) -> None:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1005))
            for frame in self.answers(walk, message.get("text"), token):
                await socket.send_text(frame if isinstance(frame, str) else json.dumps(frame))

    def answers(self, walk: Walk, text: str | None, token: str) -> list[Any]:
        try:
            return [self.answer(walk, text, token)]
        except Refusal as refused:
            return [refused.frame]

    def answer(self, walk: Walk, text: str | None, token: str) -> Any:
        if text is None:
            return self.no_object()
        try:
            frame = json.loads(text)
        except ValueError:
            return self.no_json()
        if not isinstance(frame, dict):
            return self.no_object()
        kind = frame.get("type")
        if kind not in FRAMES:
            return self.unknown_type()
        self.judge_members(frame, kind)
        return self.carry_out(walk, kind, frame.get("data", {}), token)

    def no_object(self) -> Any:
        raise Leaving(refusal("SESSION_ERROR"))

    def no_json(self) -> Any:
        raise Refusal("INVALID_JSON")

    def unknown_type(self) -> Any:
        raise Refusal("UNKNOWN_TYPE")

    def judge_members(self, frame: Frame, kind: str) -> None:
        extra = frame.keys() - FRAMES[kind] - {"type"}
        if extra or (kind == "step" and "data" not in frame):
            raise Refusal("VALIDATION_ERROR", *(extra or {"data"}))
        if not isinstance(frame.get("data", {}), dict):
            raise Refusal("VALIDATION_ERROR", "data")

    def carry_out(self, walk: Walk, kind: str, data: Frame, token: str) -> Any:
        if kind == "reset" and not self.may_reset(token):
            raise Refusal("EXECUTION_ERROR")
        if kind in {"reset", "step"}:
            played = self.reset(walk, data) if kind == "reset" else self.step(walk, data)
            return {"type": "observation", "data": played}
        if kind == "state":
            walk.states += 1
            return {"type": "state", "data": self.state(walk)}
        if kind == "render":
            return {"type": "render", "data": {"image": self.render(walk)}}
        if kind == "mcp":
            return {"type": "mcp", "data": self.rpc_frame(data)}
        return self.close()

    def close(self) -> Any:
        raise Leaving

    # HTTP

    def http_reset(self, body: Frame) -> Frame:
        seed, episode_id = body.get("seed", 0), body.get("episode_id", "")
        if not self.is_seed(seed) or len(episode_id) > 255:
            raise Refusal("VALIDATION_ERROR", "seed")
        return self.reset(Walk(), body)

    def is_seed(self, seed: Any) -> bool:
        return isinstance(seed, int) and seed >= 0

    def http_step(self, body: Frame) -> Frame:
        action, request_id = body.get("action"), body.get("request_id", "")
        if not isinstance(action, dict) or len(request_id) > 255:
            raise Refusal("VALIDATION_ERROR", "action")
        if not self.is_timeout(body.get("timeout_s", 1)):
            raise Refusal("VALIDATION_ERROR", "timeout_s")
        walk = self.http_walk()
        self.reset(walk, {})
        return self.step(walk, action)

    def is_timeout(self, seconds: float) -> bool:
        return seconds > 0

    def http_walk(self) -> Walk:
        return Walk()

    def http_state(self) -> Any:
        return self.state(self.http_walk())

    # MCP

    def rpc(self, request: Frame) -> Frame:
        method, params = request.get("method", ""), request.get("params", {})
        answer: Frame = {"jsonrpc": "2.0", "id": request.get("id")}
        session_id = params.get("session_id")
        if method == "tools/list":
            return {**answer, "result": self.tools()}
        if method == "openenv/session/create":
            return {**answer, **self.create()}
        if method != "openenv/session/close":
            return {**answer, **self.unknown_method()}
        if session_id not in self.made:
            return {**answer, "error": {"code": -32602, "message": "Unknown session_id"}}
        return {**answer, "result": self.end(session_id)}

    def tools(self) -> Frame:
        return {"tools": [{"name": "walk", "description": "", "input_schema": ACTION}]}

    def create(self) -> Frame:
        if self.full():
            return {"error": {"code": -32000, "message": "full"}}
        self.active += 1
        session_id = f"session-{len(self.made)}"
        self.made[session_id] = Walk()
        return {"result": {"session_id": session_id}}

    def unknown_method(self) -> Frame:
        return {"error": {"code": -32601, "message": "Method not found"}}

    def end(self, session_id: str) -> Frame:
        del self.made[session_id]
        self.active -= 1
        return {"session_id": session_id, "closed": True}

    def rpc_frame(self, request: Frame) -> Frame:
        return self.rpc(request)

    async def rpc_socket(self, socket: WebSocket) -> None:
        await socket.accept()
        with suppress(WebSocketDisconnect):
            while True:
                text = await socket.receive_text()
                await socket.send_text(json.dumps(self.rpc_text(text)))

    def rpc_text(self, text: str) -> Frame:
        if text == "{":
            return {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "no"}}
        return self.rpc(json.loads(text))

    # task sets

    def names(self) -> Any:
        return ["walk"]

    def splits(self) -> Any:
        return [{"name": "train"}]

    def num_tasks(self, body: Frame) -> Frame:
        return {"num_tasks": 2}

    def task(self, body: Frame) -> Any:
        return {"task": {}} if body["index"] < 2 else 400

    def app(self) -> Starlette:
        pages = (
            "names",
            "splits",
            "health",
            "metadata",
            "schema",
            "openapi",
            "ready",
            "http_state",
        )
        paths = {
            "openapi": "/openapi.json",
            "http_state": "/state",
            "names": "/list_environments",
            "splits": "/walk/splits",
        }
        return Starlette(
            routes=[
                *(Route(paths.get(page, f"/{page}"), _page(self, page)) for page in pages),
                Route("/reset", _posted(self, "http_reset"), methods=["POST"]),
                Route("/step", _posted(self, "http_step"), methods=self.step_methods()),
                Route("/mcp", _posted(self, "rpc"), methods=["POST"]),
                Route("/walk/num_tasks", _posted(self, "num_tasks"), methods=["POST"]),
                Route("/walk/task", _posted(self, "task"), methods=["POST"]),
                WebSocketRoute("/ws", self.socket),
                WebSocketRoute("/mcp", self.rpc_socket),
            ]
        )

    def step_methods(self) -> list[str]:
        return ["POST"]


def _page(server: SoundServer, name: str) -> Any:
    async def page(request: Request) -> Response:
        return _json(getattr(server, name)())

    return page


def _posted(server: SoundServer, name: str) -> Any:
    async def post(request: Request) -> Response:
        text = await request.body()
        try:
            body = json.loads(text) if text != b"{" else None
            if not isinstance(body, dict):
                raise Refusal("VALIDATION_ERROR", "body")
            return _json(getattr(server, name)(body))
        except Refusal as refused:
            return _json({"detail": refused.faults}, 422 if refused.faults else 500)

    return post


def _json(content: Any, status: int = 200) -> Response:
    # An int is a status.
    if isinstance(content, int):
        content, status = {}, content
    return Response(json.dumps(content), status, media_type="application/json")
