"""Parallax's chat wire: what a request may ask, what a reply and a refusal look like.

Two parties answer. The scheduler writes its refusals with all four OpenAI members; a node's (the
vLLM frontend of the pipeline's head) come through without ``param``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from agentcore.kit.jsonvalue import JsonObject, JsonValue, dumps
from agentcore.simulators.models import FINGERPRINT
from agentcore.simulators.prompt import Message

DONE = b"data: [DONE]\n\n"
# A request without a limit is answered in full: the scripted replies are short.
NO_LIMIT = 1 << 31

_UNSUPPORTED = ("logprobs", "logit_bias", "top_logprobs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    status: int
    message: str
    type: str
    code: str
    by_node: bool = False

    def body(self) -> JsonObject:
        error: JsonObject = {"message": self.message, "type": self.type, "code": self.code}
        return {"error": error if self.by_node else {**error, "param": None}}


class Refused(Exception):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


SERVER_NOT_READY = Refusal(
    status=503, message="Server is not ready", type="server_unavailable", code="server_not_ready"
)
ROUTING_NOT_READY = Refusal(
    status=503,
    message="Routing pipelines not ready",
    type="server_unavailable",
    code="routing_not_ready",
)
RATE_LIMITED = Refusal(
    status=429,
    message="All pipelines are busy or not ready. Please retry later.",
    type="rate_limit_error",
    code="rate_limit_exceeded",
)
BAD_GATEWAY = Refusal(
    status=502, message="Downstream request failed", type="upstream_error", code="upstream_error"
)
ROUTING_ERROR = Refusal(
    status=500, message="Get routing table error", type="server_error", code="routing_table_error"
)
INTERNAL_ERROR = Refusal(
    status=500,
    message="Internal server error",
    type="server_error",
    code="server_error",
    by_node=True,
)


def invalid(message: str, *, by_node: bool) -> Refusal:
    kind = "invalid_request_error"
    return Refusal(status=400, message=message, type=kind, code=kind, by_node=by_node)


def model_not_found(model: str) -> Refusal:
    return Refusal(
        status=404,
        message=f"The model `{model}` does not exist.",
        type="invalid_request_error",
        code="model_not_found",
        by_node=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """``refusal`` is what a node answers to a well-formed request that it cannot serve."""

    messages: tuple[Message, ...]
    model: str
    stream: bool
    include_usage: bool
    continuous_usage: bool
    limit: int
    stops: tuple[str, ...]
    refusal: Refusal | None


def chat_request(body: JsonObject) -> ChatRequest:
    options = body.get("stream_options")
    wanted = options if isinstance(options, dict) else {}
    stop = body.get("stop")
    stops = [stop] if isinstance(stop, str) else stop if isinstance(stop, list) else []
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    return ChatRequest(
        messages=_messages(body.get("messages")),
        model=str(body.get("model") or ""),
        stream=body.get("stream") is True,
        include_usage=wanted.get("include_usage") is True,
        continuous_usage=wanted.get("continuous_usage_stats") is True,
        limit=limit if isinstance(limit, int) and limit > 0 else NO_LIMIT,
        stops=tuple(s for s in stops if isinstance(s, str) and s),
        refusal=_refusal(body),
    )


def _messages(value: JsonValue) -> tuple[Message, ...]:
    rows = value if isinstance(value, list) else []
    return tuple(
        Message(str(row.get("role")), _text(row.get("content")))
        for row in rows
        if isinstance(row, dict)
    )


def _text(content: JsonValue) -> str:
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def _refusal(body: JsonObject) -> Refusal | None:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return invalid("messages cannot be empty", by_node=True)
    if not all(isinstance(m, dict) and isinstance(m.get("role"), str) for m in messages):
        return invalid("each message needs a role", by_node=True)
    problem = next(_problems(body), None)
    if problem is not None:
        return invalid(problem, by_node=True)
    # Requests that the node accepts and its engine cannot serve.
    if any(body.get(name) for name in _UNSUPPORTED) or _wants_json(body) or _has_image(messages):
        return INTERNAL_ERROR
    return None


def _problems(body: JsonObject) -> Iterator[str]:
    n, temperature = body.get("n"), body.get("temperature")
    if isinstance(n, int) and n > 1:
        yield "Only n=1 is supported."
    if body.get("tool_choice") == "required":
        yield "tool_choice=required is not supported."
    if isinstance(temperature, int | float) and not 0 <= temperature <= 2:
        yield "temperature must be between 0 and 2."
    for name in ("max_tokens", "max_completion_tokens"):
        limit = body.get(name)
        if limit is not None and not (isinstance(limit, int) and limit >= 1):
            yield f"{name} must be at least 1."
    if body.get("stream_options") is not None and body.get("stream") is not True:
        yield "stream_options are only supported when stream=true."


def _wants_json(body: JsonObject) -> bool:
    wanted = body.get("response_format")
    return isinstance(wanted, dict) and wanted.get("type") not in {None, "text"}


def _has_image(messages: list[JsonValue]) -> bool:
    return any(
        isinstance(part, dict) and part.get("type") not in {None, "text"}
        for message in messages
        if isinstance(message, dict) and isinstance(content := message.get("content"), list)
        for part in content
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A finished reply; ``tokens`` joined are its text."""

    id: str
    created: int
    model: str
    prompt_tokens: int
    tokens: tuple[str, ...]
    finish_reason: Literal["stop", "length"]
    stop_reason: str | None = None

    def usage(self, completion_tokens: int) -> JsonObject:
        return {
            "prompt_tokens": self.prompt_tokens,
            "total_tokens": self.prompt_tokens + completion_tokens,
            "completion_tokens": completion_tokens,
        }

    def body(self) -> JsonObject:
        choice: JsonObject = {
            "index": 0,
            "message": {"role": "assistant", "content": "".join(self.tokens)},
            "logprobs": None,
            "finish_reason": self.finish_reason,
            "stop_reason": self.stop_reason,
        }
        return {
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": [choice],
            "usage": self.usage(len(self.tokens)),
            "system_fingerprint": FINGERPRINT,
        }

    def events(self, request: ChatRequest) -> list[bytes]:
        """The stream: role, one event per token, finish; then usage where asked; never [DONE]."""
        count = len(self.tokens)
        deltas: list[tuple[JsonObject, JsonObject, int]] = [({"role": "assistant"}, {}, 0)]
        deltas += [({"content": t}, {}, n) for n, t in enumerate(self.tokens, start=1)]
        finish: JsonObject = {"finish_reason": self.finish_reason}
        if self.stop_reason is not None:
            finish["stop_reason"] = self.stop_reason
        deltas.append(({}, finish, count))
        events = [
            self._event(
                [{"index": 0, "delta": delta, **more}],
                self.usage(done) if request.continuous_usage else None,
            )
            for delta, more, done in deltas
        ]
        if request.include_usage:
            events.append(self._event([], self.usage(count)))
        return events

    def _event(self, choices: list[JsonValue], usage: JsonObject | None) -> bytes:
        chunk: JsonObject = {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": choices,
            "system_fingerprint": FINGERPRINT,
        }
        return event(chunk if usage is None else {**chunk, "usage": usage})


def event(value: JsonObject) -> bytes:
    return b"data: " + dumps(value) + b"\n\n"
