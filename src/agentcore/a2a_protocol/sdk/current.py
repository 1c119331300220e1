"""Parameters of A2A 1.0, read by the SDK's protobuf model, which is the normative one."""

from __future__ import annotations

from collections.abc import Mapping

from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import InvalidParamsError
from a2a.utils.proto_utils import validate_proto_required_fields
from google.protobuf.json_format import (  # type: ignore[import-untyped]  # ships no types
    MessageToDict,
    ParseDict,
    ParseError,
)

from agentcore.a2a_protocol.errors import InvalidParams
from agentcore.kit.jsonvalue import JsonObject, JsonValue

Request = (
    pb.SendMessageRequest
    | pb.GetTaskRequest
    | pb.ListTasksRequest
    | pb.CancelTaskRequest
    | pb.SubscribeToTaskRequest
    | pb.TaskPushNotificationConfig
    | pb.GetTaskPushNotificationConfigRequest
    | pb.ListTaskPushNotificationConfigsRequest
    | pb.DeleteTaskPushNotificationConfigRequest
    | pb.GetExtendedAgentCardRequest
)
REQUESTS: Mapping[str, type[Request]] = {
    "SendMessage": pb.SendMessageRequest,
    "SendStreamingMessage": pb.SendMessageRequest,
    "GetTask": pb.GetTaskRequest,
    "ListTasks": pb.ListTasksRequest,
    "CancelTask": pb.CancelTaskRequest,
    "SubscribeToTask": pb.SubscribeToTaskRequest,
    "CreateTaskPushNotificationConfig": pb.TaskPushNotificationConfig,
    "GetTaskPushNotificationConfig": pb.GetTaskPushNotificationConfigRequest,
    "ListTaskPushNotificationConfigs": pb.ListTaskPushNotificationConfigsRequest,
    "DeleteTaskPushNotificationConfig": pb.DeleteTaskPushNotificationConfigRequest,
    "GetExtendedAgentCard": pb.GetExtendedAgentCardRequest,
}


class CurrentWire:
    """A2A 1.0: results and events go out as they are kept."""

    def method(self, name: str) -> str | None:
        return name if name in REQUESTS else None

    def read(self, name: str, body: JsonObject) -> JsonObject:
        """Members that the specification does not know are left out."""
        request = REQUESTS[name]()
        try:
            ParseDict(body["params"], request, ignore_unknown_fields=True)
        except ParseError as exc:
            raise InvalidParams(f"{name}: {str(exc)[:300]}") from exc
        return checked(name, request)

    def write(self, method: str, result: JsonValue) -> JsonValue:
        return result

    def event(self, call_id: bytes, body: bytes) -> bytes:
        return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (call_id, body)


def checked(method: str, request: Request) -> JsonObject:
    """``request`` as JSON, once it has all that it must have."""
    try:
        validate_proto_required_fields(request)
    except InvalidParamsError as exc:
        raise _missing(method, exc) from exc
    found: JsonObject = MessageToDict(request)
    return found


def _missing(method: str, fault: InvalidParamsError) -> InvalidParams:
    errors = (fault.data or {}).get("errors", [])
    problems: list[JsonValue] = [
        {"at": str(error["field"]), "what": str(error["message"])} for error in errors[:20]
    ]
    first = f"{errors[0]['field']}: {errors[0]['message']}" if errors else fault.message
    return InvalidParams(f"{method}: {first}", problems=problems)
