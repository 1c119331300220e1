"""A2A 0.3 on the outside, 1.0 on the inside: parameters in, results and events out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

from a2a.compat.v0_3 import conversions as convert
from a2a.compat.v0_3 import types as old
from a2a.types import a2a_pb2 as pb
from google.protobuf.json_format import (  # type: ignore[import-untyped]  # ships no types
    ParseDict,
    ParseError,
)
from pydantic import BaseModel, ValidationError

from agentcore.a2a_protocol.errors import InvalidParams
from agentcore.a2a_protocol.models.task import INTERRUPTED, TaskState
from agentcore.a2a_protocol.sdk.current import Request, checked
from agentcore.kit import jsonvalue
from agentcore.kit.jsonvalue import JsonObject, JsonValue, object_of, objects_of

# Of what was converted lately, what is not large is kept.
KEPT_EVENTS = 256
LARGEST_KEPT = 16 * 1024


class Method(NamedTuple):
    """``name`` is the method of 1.0 that answers it."""

    name: str
    model: type[BaseModel]
    to_current: Callable[..., Request]


def _card(_: BaseModel) -> Request:
    return pb.GetExtendedAgentCardRequest()


def _push_config(request: old.GetTaskPushNotificationConfigRequest) -> Request:
    """A task's first configuration has the task's id, and may be asked for without one."""
    asked = convert.to_core_get_task_push_notification_config_request(request)
    asked.id = asked.id or asked.task_id
    return asked


PUSH = "tasks/pushNotificationConfig"
METHODS: Mapping[str, Method] = {
    "message/send": Method(
        "SendMessage", old.SendMessageRequest, convert.to_core_send_message_request
    ),
    "message/stream": Method(
        "SendStreamingMessage",
        old.SendStreamingMessageRequest,
        convert.to_core_send_message_request,
    ),
    "tasks/get": Method("GetTask", old.GetTaskRequest, convert.to_core_get_task_request),
    "tasks/cancel": Method(
        "CancelTask", old.CancelTaskRequest, convert.to_core_cancel_task_request
    ),
    "tasks/resubscribe": Method(
        "SubscribeToTask",
        old.TaskResubscriptionRequest,
        convert.to_core_subscribe_to_task_request,
    ),
    f"{PUSH}/set": Method(
        "CreateTaskPushNotificationConfig",
        old.SetTaskPushNotificationConfigRequest,
        convert.to_core_create_task_push_notification_config_request,
    ),
    f"{PUSH}/get": Method(
        "GetTaskPushNotificationConfig",
        old.GetTaskPushNotificationConfigRequest,
        _push_config,
    ),
    f"{PUSH}/list": Method(
        "ListTaskPushNotificationConfigs",
        old.ListTaskPushNotificationConfigRequest,
        convert.to_core_list_task_push_notification_config_request,
    ),
    f"{PUSH}/delete": Method(
        "DeleteTaskPushNotificationConfig",
        old.DeleteTaskPushNotificationConfigRequest,
        convert.to_core_delete_task_push_notification_config_request,
    ),
    "agent/getAuthenticatedExtendedCard": Method(
        "GetExtendedAgentCard", old.GetAuthenticatedExtendedCardRequest, _card
    ),
}


class PreviousWire:
    def method(self, name: str) -> str | None:
        known = METHODS.get(name)
        return known.name if known else None

    def read(self, name: str, body: JsonObject) -> JsonObject:
        known = METHODS[name]
        try:
            request = known.model.model_validate(body)
            current = known.to_current(request)
        except ValidationError as exc:
            raise InvalidParams(f"{name}: {_first_fault(exc)}") from exc
        except (ParseError, ValueError) as exc:
            raise InvalidParams(f"{name}: {str(exc)[:300]}") from exc
        tenant = object_of(body.get("params")).get("tenant")
        found = checked(name, current)
        return {**found, "tenant": tenant} if isinstance(tenant, str) else found

    def write(self, method: str, result: JsonValue) -> JsonValue:
        found = object_of(result)
        match method:
            case "SendMessage" if "message" in found:
                message = ParseDict(found["message"], pb.Message())
                return _dumped(convert.to_compat_message(message))
            case "SendMessage":
                return _task(object_of(found["task"]))
            case "GetTask" | "CancelTask":
                return _task(found)
            case "CreateTaskPushNotificationConfig" | "GetTaskPushNotificationConfig":
                return _config(found)
            case "ListTaskPushNotificationConfigs":
                return [_config(each) for each in objects_of(found.get("configs"))]
            case "GetExtendedAgentCard":
                card = ParseDict(found, pb.AgentCard(), ignore_unknown_fields=True)
                return _dumped(convert.to_compat_agent_card(card))
            case _:
                return None

    def event(self, call_id: bytes, body: bytes) -> bytes:
        result = _event_once(body) if len(body) <= LARGEST_KEPT else _event(body)
        return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (call_id, result)


def _event(body: bytes) -> bytes:
    response = ParseDict(jsonvalue.loads(body), pb.StreamResponse())
    result = object_of(_dumped(convert.to_compat_stream_response(response, None))["result"])
    if response.HasField("status_update"):
        state = TaskState(pb.TaskState.Name(response.status_update.status.state))
        # The last event of a stream says so, also where the task waits for its client.
        result["final"] = bool(result.get("final")) or state in INTERRUPTED
    return jsonvalue.dumps(result)


# An event goes to all who follow its task, and takes longer to convert than to send.
_event_once = lru_cache(maxsize=KEPT_EVENTS)(_event)


def _task(task: JsonObject) -> JsonObject:
    return _dumped(convert.to_compat_task(ParseDict(task, pb.Task())))


def _config(config: JsonObject) -> JsonObject:
    made = ParseDict(config, pb.TaskPushNotificationConfig())
    return _dumped(convert.to_compat_task_push_notification_config(made))


def _dumped(model: BaseModel) -> JsonObject:
    dumped: JsonObject = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    return dumped


def _first_fault(fault: ValidationError) -> str:
    first = fault.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{'.'.join(str(step) for step in first['loc'])}: {first['msg']}"
