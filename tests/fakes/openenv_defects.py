"""One server per check of the conformance suite, sound but for what that check looks for."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from tests.fakes.openenv_servers import Frame, refusal
from tests.fakes.openenv_sound import (
    ACTION,
    LIMIT,
    STATE,
    Leaving,
    Refusal,
    SoundServer,
    Walk,
)

MEGABYTE = 1024 * 1024
DEFECTS: dict[str, type[SoundServer]] = {}


def breaks(check: str) -> Any:
    def register(server: type[SoundServer]) -> type[SoundServer]:
        DEFECTS[check] = server
        return server

    return register


@breaks("health")
class SaysOk(SoundServer):
    def health(self) -> Any:
        return {"status": "ok"}


@breaks("metadata")
class Undescribed(SoundServer):
    def metadata(self) -> Frame:
        return {**super().metadata(), "description": 5}


@breaks("metadata-members")
class WithoutMembers(SoundServer):
    def metadata(self) -> Frame:
        return {name: it for name, it in super().metadata().items() if name != "author"}


@breaks("schema")
class WithoutSchema(SoundServer):
    def schema(self) -> Frame:
        return {**super().schema(), "state": {"type": "whatever"}}


@breaks("schema-title")
class Untitled(SoundServer):
    def schema(self) -> Frame:
        action = {name: it for name, it in ACTION.items() if name != "title"}
        return {**super().schema(), "action": action}


@breaks("openapi")
class WithoutOpenApi(SoundServer):
    def openapi(self) -> Any:
        return 404


@breaks("routes")
class StepsByGet(SoundServer):
    def step_methods(self) -> list[str]:
        return ["GET", "POST"]


@breaks("ready")
class NeverReady(SoundServer):
    def ready(self) -> Any:
        return 503


@breaks("session-opens")
class FactoryFails(SoundServer):
    def admit(self) -> Walk:
        raise Leaving(refusal("FACTORY_ERROR", "no licence", factory_name="walk"))

    def create(self) -> Frame:
        return {"error": {"code": -32000, "message": "no licence"}}


@breaks("episode")
class BornDone(SoundServer):
    def carry_out(self, walk: Walk, kind: str, data: Frame, token: str) -> Any:
        frame = super().carry_out(walk, kind, data, token)
        if kind == "reset":
            del frame["data"]["reward"]
        return frame


@breaks("reset-again")
class Continues(SoundServer):
    def first_count(self, walk: Walk) -> int:
        return walk.steps if not walk.done else 0


@breaks("step-before-reset")
class Impatient(SoundServer):
    def before_the_start(self, walk: Walk) -> Frame:
        raise Leaving


@breaks("one-answer")
class Talkative(SoundServer):
    def answers(self, walk: Walk, text: str | None, token: str) -> list[Any]:
        frames = super().answers(walk, text, token)
        third = (walk.states, walk.steps) == (3, 1)
        return [*frames, {"type": "heartbeat"}] if third else frames


@breaks("step-count")
class CountsFromOne(SoundServer):
    def first_count(self, walk: Walk) -> int:
        return 1


@breaks("episode-id")
class Nameless(SoundServer):
    def state(self, walk: Walk) -> Frame:
        return {**super().state(walk), "episode_id": None}


@breaks("state-schema")
class OtherState(SoundServer):
    def schema(self) -> Frame:
        return {**super().schema(), "state": {**STATE, "required": ["temperature"]}}


@breaks("observation-schema")
class LateText(SoundServer):
    def shown(self, walk: Walk, reward: float | None) -> Frame:
        envelope = super().shown(walk, reward)
        if walk.steps == 3:
            envelope["observation"]["place"] = "there"
        return envelope


@breaks("schema-taken")
class OddOnly(SoundServer):
    def judge(self, action: Frame) -> None:
        super().judge(action)
        if action["move"] % 2 == 0:
            raise Refusal("VALIDATION_ERROR", "move")


@breaks("finite-rewards")
class NotANumber(SoundServer):
    def shown(self, walk: Walk, reward: float | None) -> Frame:
        return super().shown(walk, math.nan if walk.steps == 2 else reward)


@breaks("seed-determinism")
class Unseeded(SoundServer):
    def chance(self, seed: int | None) -> Random:
        return Random()


@breaks("seed-zero")
class IfSeed(SoundServer):
    def chance(self, seed: int | None) -> Random:
        return Random(seed) if seed else Random()


@breaks("sessions-apart")
class OneForAll(SoundServer):
    walk = Walk()

    def admit(self) -> Walk:
        super().admit()
        self.walk.states = 0
        return self.walk


@breaks("episode-ends")
class Revives(SoundServer):
    def after_the_end(self, walk: Walk) -> Frame:
        walk.done = False
        return self.shown(walk, 0.0)


@breaks("done-once")
class EndsTwice(SoundServer):
    def after_the_end(self, walk: Walk) -> Frame:
        return self.shown(walk, 1.0)


@breaks("terminated-truncated")
class Unsaid(SoundServer):
    def shown(self, walk: Walk, reward: float | None) -> Frame:
        envelope = super().shown(walk, reward)
        del envelope["observation"]["metadata"]["truncated"]
        return envelope


@breaks("invalid-json")
class OtherCode(SoundServer):
    def no_json(self) -> Any:
        raise Refusal("BAD_JSON")


@breaks("unknown-type")
class TypesAreFields(SoundServer):
    def unknown_type(self) -> Any:
        raise Refusal("VALIDATION_ERROR", "type")


@breaks("extra-members")
class TakesMore(SoundServer):
    def judge_members(self, frame: Frame, kind: str) -> None:
        if kind != "state":
            super().judge_members(frame, kind)


@breaks("invalid-action")
class Executes(SoundServer):
    def step(self, walk: Walk, action: Frame) -> Frame:
        try:
            return super().step(walk, action)
        except Refusal as refused:
            if refused.faults and not isinstance(action.get("metadata"), dict):
                raise Refusal("EXECUTION_ERROR") from refused
            raise

    def http_step(self, body: Frame) -> Frame:
        self.judge(body.get("action", {}) if isinstance(body.get("action", {}), dict) else {})
        return super().http_step(body)


@breaks("survives")
class Touchy(SoundServer):
    def no_json(self) -> Any:
        raise Leaving(refusal("INVALID_JSON"))


@breaks("no-object")
class TakesArrays(SoundServer):
    def no_object(self) -> Any:
        raise Refusal("INVALID_JSON")


@breaks("unknown-session")
class PolicyViolation(SoundServer):
    def unknown_session(self) -> Walk:
        raise Leaving(refusal("SESSION_ERROR"), code=1008)


@breaks("close")
class GoesAway(SoundServer):
    def close(self) -> Any:
        raise Leaving(code=1001)


@breaks("large-frame")
class Narrow(SoundServer):
    def answer(self, walk: Walk, text: str | None, token: str) -> Any:
        if text is not None and len(text) > MEGABYTE:
            raise Leaving(code=1009)
        return super().answer(walk, text, token)


@breaks("http-reset")
class DoneByHttp(SoundServer):
    def http_reset(self, body: Frame) -> Frame:
        return {**super().http_reset(body), "done": True}


@breaks("http-step")
class NoHttpStep(SoundServer):
    def http_step(self, body: Frame) -> Frame:
        super().http_step(body)
        raise Refusal("EXECUTION_ERROR")


@breaks("http-stateless")
class SharedByHttp(SoundServer):
    walk = Walk()

    def http_walk(self) -> Walk:
        return self.walk


@breaks("http-reset-422")
class AnySeed(SoundServer):
    def is_seed(self, seed: Any) -> bool:
        return isinstance(seed, int)


@breaks("http-step-422")
class AnyTimeout(SoundServer):
    def is_timeout(self, seconds: float) -> bool:
        return True


@breaks("tasks")
class EndlessTasks(SoundServer):
    def task(self, body: Frame) -> Any:
        return {"task": {}}


@breaks("auth")
class OpenToAll(SoundServer):
    def allowed(self, token: str) -> bool:
        return True


@breaks("origin")
class AnyPage(SoundServer):
    def welcome(self, origin: str) -> bool:
        return True


@breaks("agent-scope")
class AgentsReset(SoundServer):
    def may_reset(self, token: str) -> bool:
        return True


@breaks("render")
class Words(SoundServer):
    def render(self, walk: Walk) -> Any:
        return "a picture of a walk"


@breaks("mcp")
class NoTools(SoundServer):
    def tools(self) -> Frame:
        return {}


@breaks("mcp-unknown-method")
class AnyMethod(SoundServer):
    def unknown_method(self) -> Frame:
        return {"result": {}}


@breaks("mcp-frames")
class WithoutId(SoundServer):
    def rpc_frame(self, request: Frame) -> Frame:
        return {**super().rpc_frame(request), "id": None}


@breaks("mcp-socket")
class Deaf(SoundServer):
    def rpc_text(self, text: str) -> Frame:
        return {**super().rpc_text(text), "id": 0}


@breaks("attach")
class Shared(SoundServer):
    def attached_twice(self, walk: Walk) -> Walk:
        return walk


@breaks("session-close")
class SaysClosed(SoundServer):
    def end(self, session_id: str) -> Frame:
        closed = super().end(session_id)
        return {**closed, "closed": False}


@breaks("capacity")
class OneMore(SoundServer):
    def full(self) -> bool:
        return self.active > LIMIT


@breaks("slot-after-close")
class KeepsClosed(SoundServer):
    def release(self, how: str) -> None:
        if how != "close":
            super().release(how)


@breaks("slot-after-cut")
class KeepsCut(SoundServer):
    def release(self, how: str) -> None:
        if how != "cut":
            super().release(how)
