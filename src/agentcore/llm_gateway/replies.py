"""Replies as in-process callers want them: text instead of bytes."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import orjson

from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.llm_gateway.models import LLMRequest, LLMResponse
from agentcore.llm_gateway.wire import PlainReply


def read_plain(
    reply: PlainReply,
    request: LLMRequest,
    *,
    provider: str,
    latency_ms: float,
    cost: Decimal | None,
) -> LLMResponse:
    """The first choice; ``content`` is empty where the model called tools instead of speaking."""
    choice = _first(reply.document.get("choices"))
    message = choice.get("message")
    known = message if isinstance(message, dict) else {}
    content = known.get("content")
    finish = choice.get("finish_reason")
    return LLMResponse(
        content=content if isinstance(content, str) else "",
        provider=provider,
        model=request.model,
        usage=reply.usage,
        latency_ms=latency_ms,
        trace_id=request.trace_id,
        cost=cost,
        finish_reason=finish if isinstance(finish, str) else None,
        message=known,
    )


def chunks_of(block: bytes) -> Iterator[JsonObject]:
    """The documents in complete events, as ``StreamReply.next`` returns them."""
    for line in block.splitlines():
        payload = line[5:].strip() if line.startswith(b"data:") else b""
        if payload.startswith(b"{"):
            document: JsonValue = orjson.loads(payload)
            if isinstance(document, dict):
                yield document


def text_of(block: bytes) -> Iterator[str]:
    """The text deltas in complete events, as ``StreamReply.next`` returns them."""
    for chunk in chunks_of(block):
        delta = _first(chunk.get("choices")).get("delta")
        text = delta.get("content") if isinstance(delta, dict) else None
        if isinstance(text, str) and text:
            yield text


def _first(choices: JsonValue) -> JsonObject:
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else {}
