"""One environment as a server runs it: the requests of OpenEnv in, its envelopes out."""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agentcore.kit.errors import RPC_INVALID_PARAMS, AgentCoreError, InvalidInput, said_by
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject, JsonValue, dumps
from agentcore.training.openenv.environments.base import FAULTS, AnyEnvironment, Step, field_errors
from agentcore.training.openenv.environments.tools import tools_of
from agentcore.training.openenv.errors import (
    EpisodeLimitReached,
    OpenEnvError,
    OpenEnvInvalidActionError,
    OpenEnvResetError,
    OpenEnvStepError,
    SessionLost,
)
from agentcore.training.openenv.models import JsonMap
from agentcore.training.openenv.threads import EnvironmentCalls

T = TypeVar("T")
ModelT = TypeVar("ModelT", bound=BaseModel)

log = structlog.get_logger()


class InvalidRequest(InvalidInput):
    """A request breaks the protocol; ``errors`` has ``loc``, ``msg`` and ``type`` per fault."""

    code, http_status = "openenv_invalid_request", 422
    rpc_code, retryable = RPC_INVALID_PARAMS, False

    def __init__(self, *errors: JsonObject) -> None:
        super().__init__(str(errors[0]["msg"]))
        self.errors = errors


class ResetRequest(BaseModel):
    """Members beside these two are options of the environment."""

    model_config = ConfigDict(extra="allow")

    seed: int | None = Field(None, ge=0, strict=True)
    episode_id: str | None = Field(None, max_length=255)


class StepRequest(BaseModel):
    """The body of POST /step; over the socket the action comes bare."""

    model_config = ConfigDict(extra="allow")

    action: JsonMap
    timeout_s: float | None = Field(None, gt=0)
    request_id: str | None = Field(None, max_length=255)


def nothing() -> None:
    return


class EnvironmentHost:
    """Calls one environment in the right order and translates what it raises.

    Answers are JSON documents: what an environment shows and JSON has not is its fault as well.
    The calls compute at once; ``run`` has ``calls`` compute them, where there are threads for them.
    ``closed`` environments answer ``SessionLost``.
    """

    def __init__(
        self,
        environment: AnyEnvironment,
        ids: Ids,
        *,
        max_episodes: int | None = None,
        calls: EnvironmentCalls | None = None,
    ) -> None:
        self._environment = environment
        self._ids = ids
        self._max_episodes = max_episodes
        self._calls = calls
        self._closed = False
        self.threaded = calls is not None
        self.episodes = 0
        self.running = 0

    def reset(self, request: JsonObject) -> bytes:
        """Start an episode; members beside ``seed`` and ``episode_id`` are reset options."""
        environment = self._environment
        asked = checked(ResetRequest, request)
        if self._max_episodes is not None and self.episodes >= self._max_episodes:
            raise EpisodeLimitReached(
                f"this session has played its {self.episodes} episodes", hint="open another session"
            )
        options: JsonObject = dict(asked.model_extra or {})
        known = {name: options[name] for name in environment.reset_options if name in options}
        ignored: list[JsonValue] = [name for name in options if name not in known]
        episode_id = asked.episode_id or str(self._ids.new())
        try:
            observation = environment.reset(asked.seed, known, episode_id)
            metadata: JsonObject = {"seed": environment.seed, "episode_id": episode_id}
            if ignored:
                metadata["ignored_options"] = ignored
            answer = envelope(Step(observation, info=metadata), reward=None)
        except FAULTS as exc:
            raise failed(exc, OpenEnvResetError) from exc
        self.episodes += 1
        return answer

    def begin(self, _: object = None) -> None:
        """Start the first episode, where none has begun; in turn, so that several may ask."""
        if self.episodes == 0:
            self.reset({})

    def step(self, action: JsonObject) -> bytes:
        kind = action.get("type")
        try:
            if kind == "list_tools":
                return envelope(Step({"tools": self._tools()}), reward=None)
            if kind == "call_tool":
                return self._called(checked(ToolCall, action))
            step = self._told(action)
            return envelope(step, reward=step.reward)
        except FAULTS as exc:
            raise failed(exc, OpenEnvStepError) from exc

    def played(self, action: JsonObject) -> Step:
        """The environment's own step, whatever it raises."""
        return self._environment.step(action)

    def _told(self, action: JsonObject) -> Step:
        step = self.played(action)
        step.info.update(terminated=step.terminated, truncated=step.truncated)
        return step

    def broken_off(self) -> None:
        """Whoever played has gone without a word."""

    def state(self, _: object = None) -> bytes:
        try:
            return dumps(self._environment.visible_state())
        except FAULTS as exc:
            raise failed(exc, OpenEnvError) from exc

    def image(self, _: object = None) -> bytes | None:
        """A PNG of the current state, where there is one."""
        try:
            image: object = self._environment.render()
        except FAULTS as exc:
            raise failed(exc, OpenEnvError) from exc
        if image is None or isinstance(image, bytes):
            return image
        raise OpenEnvError(f"the environment renders {type(image).__name__}, not bytes")

    def render(self, _: object = None) -> bytes:
        """``media_type`` and the image in base64, or null where there is none."""
        image = self.image()
        encoded = None if image is None else base64.b64encode(image).decode()
        return dumps({"media_type": "image/png", "image": encoded})

    async def run(self, work: Callable[[JsonObject], T], request: JsonObject) -> T:
        """``work``, one of the calls above; cancelled, it computes on where it has a thread.

        Raises:
            StepStillRunning: such a call has not ended yet.
        """
        self._refuse_closed()
        if self._calls is None:
            return work(request)
        self.running += 1
        try:
            return await self._calls.run(partial(work, request), self._refuse_closed)
        finally:
            self.running -= 1

    def refuse_cut(self) -> None:
        """Raises ``StepStillRunning``."""
        if self._calls is not None:
            self._calls.refuse_cut()

    async def close(self, then: Callable[[], None] = nothing) -> None:
        """Close the environment, and call ``then``; once.

        Behind a call that still computes, which is not waited for.
        """
        if self._closed:
            return
        self._closed = True
        if self._calls is not None:
            await self._calls.close(self._close, then)
        else:
            self._close()
            then()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise SessionLost("the session is closed", hint="open another")

    def _close(self) -> None:
        close_environment(self._environment)

    def _tools(self) -> list[JsonValue]:
        return [
            {"name": tool.name, "description": tool.description, "input_schema": tool.input_schema}
            for tool in tools_of(self._environment.action_space())
        ]

    def _called(self, asked: ToolCall) -> bytes:
        """A step by a tool call: the tool is the action's type."""
        step = self._told({"type": asked.tool_name, "parameters": asked.arguments})
        shown: JsonObject = {
            "tool_name": asked.tool_name,
            "result": step.observation,
            "error": None,
        }
        return envelope(step._replace(observation=shown), reward=step.reward)


class ToolCall(BaseModel):
    """A step in the words of OpenEnv's tool environments, which ours understand as well."""

    model_config = ConfigDict(extra="ignore")

    tool_name: str = Field(min_length=1)
    arguments: JsonMap = Field(default_factory=dict)


def close_environment(environment: AnyEnvironment) -> None:
    """Close it; that it cannot is for the log, as nobody waits for the answer any more."""
    try:
        _close(environment)
    except AgentCoreError as error:
        log.warning("environment did not close", environment=environment.name, error=str(error))


def _close(environment: AnyEnvironment) -> None:
    try:
        environment.close()
    except FAULTS as exc:
        raise failed(exc, OpenEnvError) from exc


def failed(exc: BaseException, failure: type[OpenEnvError]) -> AgentCoreError:
    """What the environment raised as an error of ours; one of ours is kept."""
    if isinstance(exc, AgentCoreError):
        return exc
    return failure(said_by(exc))


def envelope(step: Step, *, reward: float | None) -> bytes:
    """``metadata`` sits inside the observation for typed clients and beside it for generic ones."""
    observation, _, terminated, truncated, info = step
    own = observation.get("metadata")
    metadata = {**own, **info} if isinstance(own, dict) else info
    return dumps(
        {
            "observation": {**observation, "metadata": metadata},
            "reward": reward,
            "done": terminated or truncated,
            "metadata": metadata,
        }
    )


def faults_of(error: AgentCoreError) -> list[JsonObject] | None:
    """The field errors of a refused request; None when the environment itself failed."""
    if isinstance(error, OpenEnvInvalidActionError | InvalidRequest):
        return list(error.errors)
    if isinstance(error, InvalidInput):
        return [fault("value_error", str(error))]
    return None


def fault(kind: str, message: str, *loc: str) -> JsonObject:
    return {"type": kind, "loc": [*loc], "msg": message}


def checked(model: type[ModelT], request: JsonObject) -> ModelT:
    """``request`` as a ``model``, or ``InvalidRequest`` with its field errors."""
    try:
        return model.model_validate(request)
    except ValidationError as exc:
        raise InvalidRequest(*field_errors(exc)) from exc
