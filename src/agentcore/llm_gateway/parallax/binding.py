"""Served names that stand for a prompt and defaults over the one model of a cluster.

A cluster cannot load a model per prompt. What a deployment adds happens here, in this process: the
prompt goes before the caller's messages, and the defaults where the caller is silent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agentcore.kit.errors import InvalidInput
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.llm_gateway.chat_wire import max_tokens_of
from agentcore.llm_gateway.models import ChatCall, Priority
from agentcore.llm_gateway.wires.streamed_chat import StreamedChatWire


class DeployedModel(BaseModel):
    """What a served name stands for: ``model`` is the cluster's own, which serves it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Its length is no part of the pattern: so many repeats of all letters take 12 MiB.
    name: str = Field(pattern=r"^\w[\w./:-]*$", max_length=128)
    model: str
    prompt: str
    max_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    priority: Priority | None = None

    @classmethod
    def of(cls, name: str, model: str, prompt: str, config: Mapping[str, object]) -> Self:
        """
        Raises:
            InvalidInput: ``config`` says what is not known, or nonsense.
        """
        try:
            return cls.model_validate({**config, "name": name, "model": model, "prompt": prompt})
        except ValidationError as error:
            first = error.errors()[0]
            raise InvalidInput(
                f"{first['loc'][0]} of the deployment {name!r}: {first['msg']}",
                hint="config takes max_tokens, temperature and priority",
            ) from error

    def applied(self, body: Mapping[str, JsonValue]) -> JsonObject:
        messages = body.get("messages")
        told: JsonObject = {"role": "system", "content": self.prompt}
        full: JsonObject = {
            **body,
            "messages": [told, *(messages if isinstance(messages, list) else [])],
        }
        if self.max_tokens is not None and max_tokens_of(body) is None:
            full["max_tokens"] = self.max_tokens
        if self.temperature is not None:
            full.setdefault("temperature", self.temperature)
        return full


class BoundChatWire(StreamedChatWire):
    """Adds to each call what its name stands for; ``bindings`` is shared with who deploys."""

    def __init__(
        self, provider: str, bindings: Mapping[str, DeployedModel], *, prefix: str = ""
    ) -> None:
        super().__init__(provider, prefix=prefix)
        self._bindings = bindings

    def request(self, call: ChatCall, model: str) -> bytes:
        bound = self._bindings.get(call.model)
        if bound is not None:
            call = call._replace(body=bound.applied(call.body))
        return super().request(call, model)
