"""Actions into the form a server takes, its answers into values. Pure.

OpenEnv servers take actions in three forms, told apart by the JSON Schema they publish: the
``{type, parameters}`` of our own servers, the tool calls of MCP environments, and flat members.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, cast

from agentcore.kit.jsonvalue import JsonObject, JsonValue, dumps, loads
from agentcore.training.openenv.environments.base import action_envelope
from agentcore.training.openenv.errors import OpenEnvInvalidActionError, OpenEnvSpecError
from agentcore.training.openenv.models import Action, Observation, StepResult

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

Encoding = Literal["typed", "tool", "flat"]
Checker = Callable[[JsonObject], list[JsonObject]]
LIST_TOOLS = "list_tools"
# Keywords of JSON Schema that describe and constrain nothing by themselves.
ANNOTATIONS = frozenset({"title", "description", "examples", "$defs"})
MOST_FAULTS = 20
SCHEMAS_KEPT = 64
LONGEST_FAULT = 300


class ActionEncoder:
    """Writes actions as one action space wants them, after checking them against it."""

    def __init__(self, action_space: JsonObject) -> None:
        self.encoding: Encoding = encoding_of(action_space)
        self._properties = _properties(action_space)
        self._takes_metadata = (
            "metadata" in self._properties or action_space.get("additionalProperties") is not False
        )
        self._faults = _nothing_wrong if _takes_any(action_space) else _checker(action_space)

    def encode(self, action: Action) -> JsonObject:
        """The ``data`` of a step frame.

        Raises:
            OpenEnvInvalidActionError: the action does not fit the action space.
        """
        payload = self._payload(action)
        if action.metadata and self._takes_metadata:
            payload.setdefault("metadata", action.metadata)
        # The tools' schema describes calls only; asking for the list is always allowed.
        if self.encoding != "tool" or action.type != LIST_TOOLS:
            faults = self._faults(payload)
            if faults:
                raise OpenEnvInvalidActionError(f"{action.type}: {faults[0]['msg']}", faults)
        return payload

    def _payload(self, action: Action) -> JsonObject:
        if self.encoding == "typed":
            return {"type": action.type, "parameters": action.parameters}
        if self.encoding == "tool":
            if action.type == LIST_TOOLS:
                return {"type": LIST_TOOLS}
            arguments = action.parameters
            return {"type": "call_tool", "tool_name": action.type, "arguments": arguments}
        if "type" in self._properties:
            return {"type": action.type, **action.parameters}
        return dict(action.parameters)


def encoding_of(action_space: JsonObject) -> Encoding:
    properties = _properties(action_space)
    if "type" in properties and "parameters" in properties:
        return "typed"
    kind = properties.get("type")
    const = kind.get("const") if isinstance(kind, dict) else None
    if action_space.get("title") == "CallToolAction" or const in ("call_tool", LIST_TOOLS):
        return "tool"
    return "flat"


def decode_observation(data: JsonObject) -> Observation:
    """The observation of an envelope; ``metadata`` may be inside it, beside it, or nowhere."""
    observation = data.get("observation")
    if not isinstance(observation, dict):
        raise OpenEnvSpecError("the server's answer has no observation")
    inside, beside = observation.get("metadata"), data.get("metadata")
    metadata: JsonObject = {**_object(inside), **_object(beside)}
    state = {name: value for name, value in observation.items() if name != "metadata"}
    return Observation(state=state, metadata=metadata)


def decode_step(data: JsonObject, *, limit_reached: bool = False) -> StepResult:
    """The outcome of a step; OpenEnv has one ``done``, our servers say in metadata which kind."""
    observation = decode_observation(data)
    metadata = observation.metadata
    raw, done = _reward(data.get("reward")), data.get("done") is True
    truncated = _truncated(metadata)
    # The side channel may say which kind of end it is, but never that there was none.
    terminated = metadata.get("terminated") is True or (done and not truncated)
    return StepResult(
        observation=observation,
        reward=0.0 if raw is None else float(raw),
        terminated=terminated,
        truncated=truncated or (limit_reached and not terminated),
        info={**metadata, "reward_raw": raw, "done": done},
        reward_raw=raw,
    )


def _reward(value: JsonValue) -> bool | int | float | None:
    """None also for NaN and infinity: a reward that says nothing is missing, not zero."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, bool | int | float) else None


def _truncated(metadata: JsonObject) -> bool:
    return metadata.get("truncated") is True or metadata.get("TimeLimit.truncated") is True


def _properties(schema: JsonObject) -> JsonObject:
    return _object(schema.get("properties"))


def _object(value: JsonValue) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _takes_any(action_space: JsonObject) -> bool:
    """Whether the space asks no more than every ``Action`` keeps: then checking is lost time."""
    asked = {name: value for name, value in action_space.items() if name not in ANNOTATIONS}
    envelope = action_envelope("")
    return asked == {name: value for name, value in envelope.items() if name not in ANNOTATIONS}


def _nothing_wrong(_: JsonObject) -> list[JsonObject]:
    return []


def _checker(schema: JsonObject) -> Checker:
    # Judging a schema takes some 10 ms, and all sessions of an environment have the same.
    return _compiled(dumps(schema))


@lru_cache(maxsize=SCHEMAS_KEPT)
def _compiled(text: bytes) -> Checker:
    """A function that lists what is wrong with a payload.

    Raises:
        OpenEnvSpecError: the schema is none.
    """
    # 0.13 s to import, needed by whoever talks to an environment and by nobody else.
    import jsonschema
    import referencing.exceptions

    schema = cast("JsonObject", loads(text))
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as exc:
        detail = f"the server's action space is no JSON Schema: {exc.message}"
        raise OpenEnvSpecError(detail) from exc
    # An empty registry: a foreign schema must not make this process fetch what it refers to.
    validator = jsonschema.Draft202012Validator(schema, registry=referencing.Registry())

    def faults(payload: JsonObject) -> list[JsonObject]:
        try:
            found = [_fault(error) for error in validator.iter_errors(payload)]
        except (referencing.exceptions.Unresolvable, RecursionError) as exc:
            detail = f"the server's action space cannot be resolved: {exc}"
            raise OpenEnvSpecError(detail) from exc
        return found[:MOST_FAULTS]

    return faults


def _fault(error: ValidationError) -> JsonObject:
    return {
        "loc": list(error.absolute_path),
        "msg": error.message[:LONGEST_FAULT],
        "type": str(error.validator),
    }
