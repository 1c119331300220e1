"""The contract of an environment: say what you take and show, then ``begin`` and ``act``.

The base class keeps what every environment must get right in the same way: one seeded source of
randomness per episode, actions checked before they act, the step limit as a truncation, and an
episode that ends exactly once.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from random import Random, SystemRandom
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    NamedTuple,
    TypeVar,
    cast,
    get_args,
    get_origin,
)

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.json_schema import models_json_schema

from agentcore.kit.jsonvalue import JsonObject, JsonValue, object_of
from agentcore.training.openenv.errors import (
    EnvironmentNotReset,
    EpisodeOver,
    OpenEnvInvalidActionError,
    OpenEnvStepError,
)
from agentcore.training.openenv.models import Action, EnvironmentInfo

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

ActionT = TypeVar("ActionT")
StateT = TypeVar("StateT", bound="DataclassInstance")
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# What an environment may raise is its fault, also where it would end the whole process.
FAULTS = (Exception, SystemExit)
_OBJECT: JsonObject = {"type": "object"}


class Step(NamedTuple):
    """What one action led to. ``terminated``: the task is over; ``truncated``: a limit was hit."""

    observation: JsonObject
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    info: JsonObject = {}  # noqa: RUF012 -- handed out as a copy, never changed


class Parameters(BaseModel):
    """The parameters of one action type; the type is the class's name in snake_case."""

    # A misspelt parameter must not vanish.
    model_config = ConfigDict(frozen=True, extra="forbid")


class Environment(ABC, Generic[ActionT, StateT]):
    """One episode at a time, for one caller at a time.

    ``ActionT`` is a subclass of ``Parameters`` or a union of several, and ``act`` receives
    instances of them; an environment that judges malformed actions itself takes ``Action``.
    ``StateT`` is a dataclass whose fields have defaults; ``self.state`` is a fresh one in every
    episode and is shown to whoever asks for the state, so secrets belong elsewhere.
    No method may wait; set ``threaded`` where one computes for long.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    version: ClassVar[str] = "1.0.0"
    threaded: ClassVar[bool] = False
    reset_options: ClassVar[tuple[str, ...]] = ()
    # Steps after which an episode is truncated, 0 for any number; ``begin`` may set it.
    max_episode_steps: int = 0

    _kinds: ClassVar[Mapping[str, type[BaseModel]]]
    _state_type: ClassVar[type]

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        for base in getattr(cls, "__orig_bases__", ()):
            if get_origin(base) is Environment:
                action, cls._state_type = get_args(base)
                cls._kinds = {
                    _WORD.sub("_", model.__name__).lower(): model
                    for model in (get_args(action) or (action,))
                    if issubclass(model, Parameters)
                }

    def __init__(self) -> None:
        self.state: StateT = self._state_type()
        self.seed: int | None = None
        self.episode_id: str | None = None
        self.step_count = 0
        # Of the server that runs it: it may shorten episodes, never lengthen them.
        self.step_limit: int | None = None
        self._running = False

    @abstractmethod
    def observation_space(self) -> JsonObject:
        """JSON Schema of what ``begin`` and ``act`` show."""

    @abstractmethod
    def begin(self, random: Random, options: JsonObject) -> JsonObject:
        """Start an episode and return its first observation; draw only from ``random``."""

    @abstractmethod
    def act(self, action: ActionT) -> Step:
        """Carry out one action; ``step_count`` already counts it."""

    def render(self) -> bytes | None:
        """A PNG image of the current state, where there is something to see."""
        return None

    def close(self) -> None:
        """Give back what the environment holds; called once, also after a failure."""

    def list_splits(self) -> Sequence[str]:
        """Names of its task sets, such as train and test, where it has any."""
        raise NotImplementedError

    def list_tasks(self, split: str) -> Sequence[JsonObject]:
        """The tasks of one of these splits; a task is what reset takes as options."""
        raise NotImplementedError

    def action_space(self) -> JsonObject:
        """JSON Schema of an action: ``{type, parameters, metadata}``."""
        envelope = action_envelope(type(self).__name__ + "Action", *self._kinds)
        if not self._kinds:
            return envelope
        keys, shared = models_json_schema([(kind, "validation") for kind in self._kinds.values()])
        branches: list[JsonValue] = [
            _branch(kind, model, keys[model, "validation"]) for kind, model in self._kinds.items()
        ]
        return {**envelope, "allOf": branches, **shared}

    def parse(self, action: Action) -> ActionT:
        """The typed form of ``action``.

        Raises:
            OpenEnvInvalidActionError: no such type, or parameters that its model refuses.
        """
        if not self._kinds:
            return cast("ActionT", action)
        model = self._kinds.get(action.type)
        if model is None:
            message = f"one of: {', '.join(self._kinds)}"
            fault: JsonObject = {"loc": ["type"], "msg": message, "type": "enum"}
            raise OpenEnvInvalidActionError(f"unknown action type {action.type!r}", [fault])
        try:
            return cast("ActionT", model.model_validate(action.parameters))
        except ValidationError as exc:
            raise _refused(exc, "parameters") from exc

    def reset(
        self,
        seed: int | None = None,
        options: JsonObject | None = None,
        episode_id: str | None = None,
    ) -> JsonObject:
        """Start an episode; the same seed, options and actions give the same trajectory."""
        self.seed = SystemRandom().getrandbits(32) if seed is None else seed
        self.episode_id = episode_id
        self.step_count = 0
        self.state = self._state_type()
        self._running = False
        observation = self.begin(Random(self.seed), {} if options is None else options)
        self._running = True
        return observation

    def step(self, action: Action | JsonObject) -> Step:
        """Execute one action.

        Raises:
            OpenEnvInvalidActionError: the action does not fit; nothing happened.
            EnvironmentNotReset: no episode has begun.
            EpisodeOver: the episode has ended; ``reset`` starts the next.
        """
        if not self._running:
            if self.step_count == 0:
                raise EnvironmentNotReset(f"{self.name} has no episode", hint="call reset first")
            raise EpisodeOver(
                f"the episode of {self.name} ended after {self.step_count} steps",
                hint="call reset to start the next",
            )
        parsed = self.parse(parse_action(action))
        self.step_count += 1
        observation, reward, terminated, truncated, info = self.act(parsed)
        if not math.isfinite(reward):
            raise OpenEnvStepError(f"{self.name} gave the reward {reward}")
        if {type(terminated), type(truncated)} != {bool}:
            told = f"terminated {terminated!r} and truncated {truncated!r}"
            raise OpenEnvStepError(f"{self.name} gave {told}: both are True or False")
        # Reaching the limit is truncation: learners must still bootstrap from this state.
        limit = self.effective_limit()
        truncated = truncated or (limit is not None and self.step_count >= limit)
        truncated = truncated and not terminated
        self._running = not (terminated or truncated)
        return Step(observation, reward, terminated, truncated, dict(info))

    def effective_limit(self) -> int | None:
        """Steps after which an episode is truncated: the lesser of the two limits."""
        return min(filter(None, (self.max_episode_steps, self.step_limit)), default=None)

    def visible_state(self) -> JsonObject:
        return {"episode_id": self.episode_id, "step_count": self.step_count, **asdict(self.state)}

    def info(self) -> EnvironmentInfo:
        state: JsonObject = TypeAdapter(self._state_type).json_schema()
        state["properties"] = {
            "episode_id": {"type": ["string", "null"]},
            "step_count": {"type": "integer", "minimum": 0},
            **object_of(state.get("properties")),
        }
        renders = type(self).render is not Environment.render
        return EnvironmentInfo(
            name=self.name,
            version=self.version,
            description=self.description,
            observation_space=self.observation_space(),
            action_space=self.action_space(),
            state_space=state,
            max_episode_steps=self.effective_limit(),
            mode="simulation",
            features=("terminated_truncated", "render") if renders else ("terminated_truncated",),
        )


# For those who run environments: what its actions and state are is the environment's business.
AnyEnvironment = Environment[Any, Any]


def action_envelope(title: str, *kinds: str) -> JsonObject:
    """The outer schema of an action; without ``kinds`` every type is taken."""
    named: JsonObject = {"type": "string", "minLength": 1}
    if kinds:
        named["enum"] = list(kinds)
    return {
        "title": title,
        "type": "object",
        "properties": {"type": named, "parameters": _OBJECT, "metadata": _OBJECT},
        "required": ["type"],
        "additionalProperties": False,
    }


def _branch(kind: str, model: type[BaseModel], parameters: JsonObject) -> JsonObject:
    then: JsonObject = {"properties": {"parameters": parameters}}
    if any(field.is_required() for field in model.model_fields.values()):
        then["required"] = ["parameters"]
    return {"if": {"properties": {"type": {"const": kind}}}, "then": then}


def parse_action(action: Action | JsonObject) -> Action:
    """``action`` as a value.

    Raises:
        OpenEnvInvalidActionError: it is not ``{type, parameters, metadata}``.
    """
    if isinstance(action, Action):
        return action
    try:
        return Action.model_validate(action)
    except ValidationError as exc:
        raise _refused(exc) from exc


def field_errors(exc: ValidationError, *prefix: str) -> list[JsonObject]:
    """One entry per fault: ``loc``, ``msg`` and ``type``, without the value that was given."""
    return [
        {"loc": [*prefix, *fault["loc"]], "msg": fault["msg"], "type": fault["type"]}
        for fault in exc.errors(include_url=False, include_context=False, include_input=False)
    ]


def _refused(exc: ValidationError, *prefix: str) -> OpenEnvInvalidActionError:
    errors = field_errors(exc, *prefix)
    where = ".".join([*prefix, *(str(part) for part in exc.errors()[0]["loc"])]) or "action"
    return OpenEnvInvalidActionError(f"{where}: {errors[0]['msg']}", errors)
