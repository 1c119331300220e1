"""Chat completions over Gemini's generateContent: https://ai.google.dev/api/generate-content."""

from __future__ import annotations

from urllib.parse import quote

import orjson

from agentcore.kit.clock import Clock
from agentcore.kit.jsonvalue import JsonObject, JsonValue, objects_of
from agentcore.llm_gateway.chat_wire import written
from agentcore.llm_gateway.errors import UpstreamError, UpstreamMalformed, UpstreamTruncated
from agentcore.llm_gateway.models import ChatCall
from agentcore.llm_gateway.wire import PlainReply, Scanner
from agentcore.llm_gateway.wires.gemini_answer import (
    Speaker,
    blocked,
    finish_of,
    index_of,
    logprobs_of,
    message_of,
    tokens_of,
    usage_document,
)
from agentcore.llm_gateway.wires.gemini_errors import failure_in, gemini_failure
from agentcore.llm_gateway.wires.gemini_request import request_of
from agentcore.llm_gateway.wires.gemini_stream import GeminiScanner, answer_id_of

KINDS = ("models/", "tunedModels/")


class GeminiWire:
    def __init__(self, provider: str, *, clock: Clock) -> None:
        self._provider = provider
        self._clock = clock

    def path(self, call: ChatCall, model: str) -> str:
        method = "streamGenerateContent?alt=sse" if call.stream else "generateContent"
        return f"/{resource_of(model)}:{method}"

    def request(self, call: ChatCall, model: str) -> bytes:
        return written(request_of(call.body, model, self._provider), "messages")

    def answer(self, raw: bytes, call: ChatCall) -> PlainReply:
        document = answered(raw, self._provider)
        choices = self._choices(document, answer_id_of(document, raw))
        version = document.get("modelVersion")
        usage = tokens_of(document.get("usageMetadata"))
        told: JsonObject = {
            "id": f"chatcmpl-{answer_id_of(document, raw)}",
            "object": "chat.completion",
            "created": int(self._clock.now().timestamp()),
            "model": version if isinstance(version, str) else call.model,
            "choices": choices,
            "usage": usage_document(usage),
        }
        return PlainReply(orjson.dumps(told), told, usage)

    def scanner(self, call: ChatCall) -> Scanner:
        return GeminiScanner(self._provider, call, self._clock)

    def failure(self, status: int, raw: bytes, *, retry_after: float | None) -> UpstreamError:
        return gemini_failure(status, raw, self._provider, retry_after=retry_after)

    def _choices(self, document: JsonObject, answer_id: str) -> list[JsonValue]:
        candidates = objects_of(document.get("candidates"))
        verdict = blocked(document)
        if not candidates and verdict is not None:
            silent: JsonObject = {"role": "assistant", "content": None}
            return [{"index": 0, "message": silent, **verdict.choice(called=False)}]
        if not candidates:
            raise UpstreamMalformed(
                f"{self._provider} answered without candidates", provider=self._provider
            )
        return [self._choice(candidate, answer_id) for candidate in candidates]

    def _choice(self, candidate: JsonObject, answer_id: str) -> JsonObject:
        finish = finish_of(candidate, self._provider)
        if finish is None:
            raise UpstreamTruncated(
                f"{self._provider} answered without saying why the answer ends",
                provider=self._provider,
            )
        speaker = Speaker(answer_id, index_of(candidate))
        message = message_of(candidate, speaker)
        return {
            "index": index_of(candidate),
            "message": message,
            "logprobs": logprobs_of(candidate),
            **finish.choice(called=speaker.calls > 0),
        }


def resource_of(model: str) -> str:
    """``models/NAME``; a name from a caller cannot lead to another path."""
    kind = next((kind for kind in KINDS if model.startswith(kind)), KINDS[0])
    return kind + quote(model.removeprefix(kind), safe="")


def answered(raw: bytes, provider: str) -> JsonObject:
    """A document behind a 200.

    Raises:
        UpstreamError: it is an error, or no object.
    """
    try:
        document: JsonValue = orjson.loads(raw)
    except orjson.JSONDecodeError as exc:
        raise UpstreamMalformed(
            f"{provider} answered with something that is not JSON", provider=provider
        ) from exc
    failure = failure_in(document, provider)
    if failure is not None:
        raise failure
    if not isinstance(document, dict):
        raise UpstreamMalformed(f"{provider} answered with no JSON object", provider=provider)
    return document
