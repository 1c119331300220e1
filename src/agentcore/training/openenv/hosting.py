"""One environment as a server runs it: the requests of OpenEnv in, its envelopes out."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TypeVar

from anyio import to_thread
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agentcore.kit.errors import RPC_INVALID_PARAMS, AgentCoreError, InvalidInput
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject, JsonValue, dumps
from agentcore.training.openenv.environments.base import AnyEnvironment, Step, field_errors
from agentcore.training.openenv.errors import (
    OpenEnvError,
    OpenEnvInvalidActionError,
    OpenEnvResetError,
    OpenEnvStepError,
)
from agentcore.training.openenv.models import JsonMap

T = TypeVar("T")
ModelT = TypeVar("ModelT", bound=BaseModel)
LONGEST_FAULT = 500


class InvalidRequest(InvalidInput):
    """A request breaks the protocol; ``errors`` has ``loc``, ``msg`` and ``type`` per fault."""

    code, http_status, rpc_code, retryable = (
        "openenv_invalid_request",
        422,
        RPC_INVALID_PARAMS,
        False,
    )

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


class EnvironmentHost:
    """Calls one environment in the right order and translates what it raises.

    Answers are JSON documents: what an environment shows and JSON has not is its fault as well.
    Not for concurrent use: the socket or the request that owns it waits for every answer.
    """

    def __init__(self, environment: AnyEnvironment, ids: Ids) -> None:
        self._environment = environment
        self._ids = ids

    async def reset(self, request: JsonObject) -> bytes:
        """Start an episode; members beside ``seed`` and ``episode_id`` are reset options."""
        environment = self._environment
        asked = checked(ResetRequest, request)
        options: JsonObject = dict(asked.model_extra or {})
        known = {name: options[name] for name in environment.reset_options if name in options}
        ignored: list[JsonValue] = [name for name in options if name not in known]
        episode_id = asked.episode_id or str(self._ids.new())

        def work() -> bytes:
            observation = environment.reset(asked.seed, known, episode_id)
            metadata: JsonObject = {"seed": environment.seed, "episode_id": episode_id}
            if ignored:
                metadata["ignored_options"] = ignored
            return envelope(Step(observation, info=metadata), reward=None)

        return await self._run(work, OpenEnvResetError)

    async def step(self, action: JsonObject) -> bytes:
        def work() -> bytes:
            step = self._environment.step(action)
            step.info["terminated"], step.info["truncated"] = step.terminated, step.truncated
            return envelope(step, reward=step.reward)

        return await self._run(work, OpenEnvStepError)

    async def state(self) -> bytes:
        return await self._run(lambda: dumps(self._environment.visible_state()), OpenEnvError)

    async def render(self) -> bytes:
        """``media_type`` and the image in base64, or null where there is none."""

        def work() -> bytes:
            image = self._environment.render()
            encoded = None if image is None else base64.b64encode(image).decode()
            return dumps({"media_type": "image/png", "image": encoded})

        return await self._run(work, OpenEnvError)

    async def close(self) -> None:
        await self._run(self._environment.close, OpenEnvError)

    async def _run(self, work: Callable[[], T], failure: type[OpenEnvError]) -> T:
        try:
            if self._environment.threaded:
                return await to_thread.run_sync(work)
            return work()
        except AgentCoreError:
            raise
        except Exception as exc:
            raise failure(f"{type(exc).__name__}: {exc}"[:LONGEST_FAULT]) from exc


def envelope(step: Step, *, reward: float | None) -> bytes:
    """``metadata`` sits inside the observation for typed clients and beside it for generic ones."""
    own = step.observation.get("metadata")
    metadata = {**own, **step.info} if isinstance(own, dict) else step.info
    return dumps(
        {
            "observation": {**step.observation, "metadata": metadata},
            "reward": reward,
            "done": step.terminated or step.truncated,
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
