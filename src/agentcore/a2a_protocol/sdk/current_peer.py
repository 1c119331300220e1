"""Asking agents elsewhere by A2A 1.0; what they answer is read by the SDK's model."""

from __future__ import annotations

from a2a.types import a2a_pb2 as pb
from google.protobuf.json_format import (  # type: ignore[import-untyped]  # ships no types
    MessageToDict,
    ParseDict,
    ParseError,
)

from agentcore.kit.jsonvalue import JsonObject, JsonValue, object_of

# Results that are a task by themselves.
TASKS = frozenset({"GetTask", "CancelTask"})


class CurrentPeerWire:
    """Every answer becomes a ``StreamResponse``: a task, a message, or an update."""

    version = "1.0"

    def request(self, method: str, params: JsonObject) -> tuple[str, JsonObject]:
        return method, params

    def result(self, method: str, result: JsonValue) -> JsonObject:
        """Raises ``ValueError`` where the result is none of A2A."""
        whole: JsonObject = {"task": result} if method in TASKS else object_of(result)
        read = pb.StreamResponse()
        try:
            ParseDict(whole, read, ignore_unknown_fields=True)
        except ParseError as exc:
            raise ValueError(str(exc)[:300]) from exc
        found: JsonObject = MessageToDict(read)
        if not found:
            raise ValueError("the result is neither a task nor a message nor an update")
        return found
