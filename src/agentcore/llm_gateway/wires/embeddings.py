"""Embeddings over OpenAI's API and everything that speaks it: bytes pass through."""

from __future__ import annotations

from typing import NoReturn

from agentcore.kit.jsonvalue import JsonValue
from agentcore.llm_gateway.chat_wire import document_of, failure_of, token_count, written
from agentcore.llm_gateway.dialects.embeddings import inputs_in, refuse_stream
from agentcore.llm_gateway.errors import UpstreamError, UpstreamMalformed
from agentcore.llm_gateway.models import ChatCall, TokenUsage
from agentcore.llm_gateway.wire import PlainReply


class EmbeddingsWire:
    def __init__(self, provider: str) -> None:
        self._provider = provider

    def path(self, call: ChatCall, model: str) -> str:
        return "/embeddings"

    def request(self, call: ChatCall, model: str) -> bytes:
        if call.stream:
            refuse_stream()
        return written({**call.body, "model": model}, "input")

    def answer(self, raw: bytes, call: ChatCall) -> PlainReply:
        document = document_of(raw, self._provider)
        data = document.get("data")
        asked = inputs_in(call.body.get("input"))
        if not isinstance(data, list) or not all(map(_is_embedding, data)):
            raise self._malformed("answered without a list of embeddings")
        if len(data) != asked:
            raise self._malformed(f"answered with {len(data)} embeddings for {asked} inputs")
        return PlainReply(raw, document, _usage(document.get("usage")))

    def scanner(self, call: ChatCall) -> NoReturn:
        refuse_stream()

    def failure(self, status: int, raw: bytes, *, retry_after: float | None) -> UpstreamError:
        return failure_of(status, raw, self._provider, retry_after=retry_after)

    def _malformed(self, what: str) -> UpstreamMalformed:
        return UpstreamMalformed(f"{self._provider} {what}", provider=self._provider)


def _is_embedding(entry: JsonValue) -> bool:
    """Numbers, or numbers in base64."""
    vector = entry.get("embedding") if isinstance(entry, dict) else None
    return bool(vector) and isinstance(vector, list | str)


def _usage(usage: JsonValue) -> TokenUsage | None:
    """There is nothing but a prompt; some servers tell one of the two counts only."""
    if not isinstance(usage, dict):
        return None
    total = token_count(usage.get("total_tokens"))
    prompt = token_count(usage.get("prompt_tokens"))
    known = total if prompt is None else prompt
    return None if known is None else TokenUsage(known, 0, known if total is None else total)
