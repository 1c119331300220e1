"""Actions into the form a server takes, its answers into values. Pure.

OpenEnv servers take actions in three forms, told apart by the JSON Schema they publish: the
``{type, parameters}`` of our own servers, the tool calls of MCP environments, and flat members.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Literal, cast

from agentcore.kit.jsonvalue import JsonObject, JsonValue, dumps, list_of, loads, object_of
from agentcore.training.openenv.environments.base import action_envelope
from agentcore.training.openenv.errors import (
    WRONG_ANSWERS,
    OpenEnvInvalidActionError,
    OpenEnvSpecError,
)
from agentcore.training.openenv.models import Action, Observation, StepResult, made

if TYPE_CHECKING:
    import jsonschema_rs

Encoding = Literal["typed", "tool", "flat"]
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
        # All sessions of an environment have the same space, and judging it takes a while.
        self._validator = None if _takes_any(action_space) else _validator(action_space)

    def encode(self, action: Action) -> JsonObject:
        """The ``data`` of a step frame.

        Raises:
            OpenEnvInvalidActionError: the action does not fit the action space, or into JSON.
        """
        return self._checked(action)[0]

    def encode_json(self, action: Action) -> bytes:
        """The same, written."""
        return self._checked(action)[1]

    def _checked(self, action: Action) -> tuple[JsonObject, bytes]:
        payload = self._payload(action)
        if action.metadata and self._takes_metadata:
            payload.setdefault("metadata", action.metadata)
        # Written first: what has a JSON form is not too deep to be checked.
        try:
            message = dumps(payload)
        except TypeError as exc:
            raise _no_json(action, str(exc)) from exc
        if holds_unwritten(payload, message):
            raise _no_json(action, "NaN and infinity are no JSON numbers")
        # The tools' schema describes calls only; asking for the list is always allowed.
        checked = self.encoding != "tool" or action.type != LIST_TOOLS
        if checked and self._validator is not None and not self._validator.is_valid(payload):
            faults = _faults(self._validator, payload)
            raise OpenEnvInvalidActionError(f"{action.type}: {_told(faults[0])}", faults)
        return payload, message

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


def _no_json(action: Action, why: str) -> OpenEnvInvalidActionError:
    fault: JsonObject = {"loc": [], "msg": why, "type": "json"}
    return OpenEnvInvalidActionError(f"{action.type}: {why}", [fault])


def holds_unwritten(value: JsonValue, written: bytes) -> bool:
    """Whether ``value`` has a NaN or an infinity, which were ``written`` as null."""
    return b"null" in written and _unwritten(value)


def _unwritten(value: JsonValue) -> bool:
    if isinstance(value, dict):
        return any(map(_unwritten, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_unwritten, value))
    return isinstance(value, float) and not math.isfinite(value)


def encoding_of(action_space: JsonObject) -> Encoding:
    properties = _properties(action_space)
    if "type" in properties and "parameters" in properties:
        return "typed"
    const = object_of(properties.get("type")).get("const")
    if action_space.get("title") == "CallToolAction" or const in ("call_tool", LIST_TOOLS):
        return "tool"
    return "flat"


def decode_observation(data: JsonObject) -> Observation:
    """The observation of an envelope; ``metadata`` may be inside it, beside it, or nowhere."""
    observation = data.get("observation")
    if not isinstance(observation, dict):
        raise OpenEnvSpecError("the server's answer has no observation", hint=WRONG_ANSWERS)
    state = dict(observation)
    inside, beside = state.pop("metadata", None), data.get("metadata")
    metadata: JsonObject = {**object_of(inside), **object_of(beside)}
    return made(Observation, {"state": state, "metadata": metadata})


def decode_step(data: JsonObject, *, limit_reached: bool = False) -> StepResult:
    """The outcome of a step; OpenEnv has one ``done``, our servers say in metadata which kind."""
    observation = decode_observation(data)
    metadata = observation.metadata
    raw, done = _reward(data.get("reward")), data.get("done") is True
    truncated = _truncated(metadata)
    # The side channel may say which kind of end it is, but never that there was none.
    terminated = metadata.get("terminated") is True or (done and not truncated)
    return made(
        StepResult,
        {
            "observation": observation,
            "reward": 0.0 if raw is None else float(raw),
            "terminated": terminated,
            "truncated": truncated or (limit_reached and not terminated),
            "info": {**metadata, "reward_raw": raw, "done": done},
            "reward_raw": raw,
        },
    )


def _reward(value: JsonValue) -> bool | int | float | None:
    """None also for NaN and infinity: a reward that says nothing is missing, not zero."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, int) else None


def _truncated(metadata: JsonObject) -> bool:
    return metadata.get("truncated") is True or metadata.get("TimeLimit.truncated") is True


def _properties(schema: JsonObject) -> JsonObject:
    return object_of(schema.get("properties"))


def _takes_any(action_space: JsonObject) -> bool:
    """Whether the space asks no more than every ``Action`` keeps: then checking is lost time."""
    asked = {name: value for name, value in action_space.items() if name not in ANNOTATIONS}
    envelope = action_envelope("")
    return asked == {name: value for name, value in envelope.items() if name not in ANNOTATIONS}


def _validator(action_space: JsonObject) -> jsonschema_rs.Draft202012Validator:
    """
    Raises:
        OpenEnvSpecError: the schema is none, or refers to what it does not hold.
    """
    try:
        return validator_of(dumps(action_space))
    except ValueError as exc:
        # Of a fault in the schema the message is a part; its whole text quotes the schema.
        reason = getattr(exc, "message", str(exc))
        raise OpenEnvSpecError(
            f"the server's action space is no JSON Schema: {reason[:LONGEST_FAULT]}",
            hint="whoever wrote the environment must correct its /schema",
        ) from exc


@lru_cache(maxsize=SCHEMAS_KEPT)
def validator_of(schema: bytes) -> jsonschema_rs.Draft202012Validator:
    """Raises ``ValueError`` where it is no JSON Schema, or refers to what it does not hold."""
    import jsonschema_rs  # noqa: PLC0415 - 3 MiB, for processes that play

    members = cast("JsonObject", loads(schema))
    return jsonschema_rs.Draft202012Validator(members, retriever=fetch_nothing)


def fetch_nothing(uri: str) -> JsonValue:
    """A foreign schema must not make this process fetch what it refers to."""
    raise ValueError(f"{uri} is not in the schema")


def _told(fault: JsonObject) -> str:
    """What is wrong, and with which member where it is not the action as a whole."""
    member = ".".join(str(step) for step in list_of(fault["loc"]))
    return f"{member}: {fault['msg']}" if member else str(fault["msg"])


def _faults(validator: jsonschema_rs.Draft202012Validator, payload: JsonObject) -> list[JsonObject]:
    errors = islice(validator.iter_errors(payload), MOST_FAULTS)
    return [
        {
            "loc": list(error.instance_path),
            "msg": error.message[:LONGEST_FAULT],
            "type": error.kind.name,
        }
        for error in errors
    ]
