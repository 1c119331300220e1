"""JSON-RPC 2.0 messages as values."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_serializer

from agentcore.kit.jsonvalue import JsonObject, JsonValue

RpcId = str | int | None


class JsonRpcRequest(BaseModel):
    """A call; without ``id`` it is a notification and nobody answers it."""

    model_config = ConfigDict(frozen=True)

    method: str
    params: JsonObject | None = None
    id: RpcId = None
    jsonrpc: Literal["2.0"] = "2.0"

    @model_serializer
    def wire(self) -> dict[str, JsonValue]:
        """Section 4.1: a notification has no member ``id``, not even null."""
        message: JsonObject = {"jsonrpc": self.jsonrpc, "method": self.method}
        if self.params is not None:
            message["params"] = self.params
        if self.id is not None:
            message["id"] = self.id
        return message


class JsonRpcError(BaseModel):
    model_config = ConfigDict(frozen=True)

    code: int
    message: str
    data: JsonValue = None


class JsonRpcResponse(BaseModel):
    """The answer to one call: ``result`` or ``error``, never both on the wire."""

    model_config = ConfigDict(frozen=True)

    id: RpcId = None
    result: JsonValue = None
    error: JsonRpcError | None = None
    jsonrpc: Literal["2.0"] = Field(default="2.0")

    @model_serializer
    def wire(self) -> dict[str, JsonValue]:
        """Section 5: exactly one of ``result`` and ``error`` is a member, even when null."""
        if self.error is None:
            return {"jsonrpc": self.jsonrpc, "id": self.id, "result": self.result}
        error: JsonObject = {"code": self.error.code, "message": self.error.message}
        if self.error.data is not None:
            error["data"] = self.error.data
        return {"jsonrpc": self.jsonrpc, "id": self.id, "error": error}
