"""Asking agents elsewhere by A2A 0.3, inside as by 1.0."""

from __future__ import annotations

from a2a.compat.v0_3 import conversions as convert
from a2a.compat.v0_3 import types as old
from a2a.types import a2a_pb2 as pb
from google.protobuf.json_format import (  # type: ignore[import-untyped]  # ships no types
    MessageToDict,
    ParseDict,
    ParseError,
)
from pydantic import ValidationError

from agentcore.kit.jsonvalue import JsonObject, JsonValue, object_of

SENDING = {"SendMessage": "message/send", "SendStreamingMessage": "message/stream"}
NAMING = {
    "GetTask": "tasks/get",
    "CancelTask": "tasks/cancel",
    "SubscribeToTask": "tasks/resubscribe",
}
# Servers of the first days leave ``kind`` out.
KINDS = (
    ("artifact", "artifact-update"),
    ("messageId", "message"),
    ("taskId", "status-update"),
    ("id", "task"),
)


class PreviousPeerWire:
    version = "0.3"

    def request(self, method: str, params: JsonObject) -> tuple[str, JsonObject]:
        if method in NAMING:
            return NAMING[method], {"id": params["id"]}
        asked = ParseDict(params, pb.SendMessageRequest(), ignore_unknown_fields=True)
        made = convert.to_compat_send_message_request(asked, request_id=0)
        dumped: JsonObject = made.params.model_dump(mode="json", by_alias=True, exclude_none=True)
        return SENDING[method], dumped

    def result(self, method: str, result: JsonValue) -> JsonObject:
        """Raises ``ValueError`` where the result is none of A2A."""
        try:
            answer = old.SendStreamingMessageSuccessResponse.model_validate(
                {"id": 0, "jsonrpc": "2.0", "result": _with_kind(object_of(result))}
            )
            read = convert.to_core_stream_response(answer)
        except ValidationError as exc:
            fault = exc.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(str(step) for step in fault["loc"])
            raise ValueError(f"{where}: {fault['msg']}"[:300]) from exc
        except ParseError as exc:
            raise ValueError(str(exc)[:300]) from exc
        found: JsonObject = MessageToDict(read)
        return found


def _with_kind(result: JsonObject) -> JsonObject:
    if "kind" in result:
        return result
    kind = next((kind for member, kind in KINDS if member in result), None)
    return result if kind is None else {**result, "kind": kind}
