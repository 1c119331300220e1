"""OpenAI's embeddings over Gemini's batchEmbedContents: https://ai.google.dev/api/embeddings."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from typing import NoReturn

import orjson

from agentcore.kit.jsonvalue import JsonObject, JsonValue, list_of, object_of, objects_of
from agentcore.llm_gateway.chat_wire import invalid, token_count, written
from agentcore.llm_gateway.dialects.embeddings import refuse_stream
from agentcore.llm_gateway.errors import UpstreamError, UpstreamMalformed
from agentcore.llm_gateway.models import ChatCall, TokenUsage
from agentcore.llm_gateway.wire import PlainReply
from agentcore.llm_gateway.wires.gemini import answered, resource_of
from agentcore.llm_gateway.wires.gemini_errors import gemini_failure

HINTS = frozenset({"metadata", "provider", "safety_identifier", "user"})
READ = frozenset({"dimensions", "encoding_format", "input", "model", "stream"})


class GeminiEmbeddingsWire:
    """The vectors are Gemini's own: those of fewer ``dimensions`` may not have the length 1."""

    def __init__(self, provider: str) -> None:
        self._provider = provider

    def path(self, call: ChatCall, model: str) -> str:
        return f"/{resource_of(model)}:batchEmbedContents"

    def request(self, call: ChatCall, model: str) -> bytes:
        if call.stream:
            refuse_stream()
        body = call.body
        for name, value in body.items():
            if value is not None and name not in READ and name not in HINTS:
                raise invalid(name, f"cannot be expressed in the API of {self._provider}")
        common: JsonObject = {"model": resource_of(model)}
        if body.get("dimensions") is not None:
            common["outputDimensionality"] = body["dimensions"]
        requests: list[JsonValue] = [
            {**common, "content": {"parts": [{"text": text}]}} for text in self._texts(body)
        ]
        return written({"requests": requests}, "input")

    def answer(self, raw: bytes, call: ChatCall) -> PlainReply:
        document = answered(raw, self._provider)
        vectors = [self._numbers(each) for each in objects_of(document.get("embeddings"))]
        expected = len(self._texts(call.body))
        if len(vectors) != expected:
            raise self._malformed(f"{len(vectors)} embeddings of {expected} texts")
        if call.body.get("encoding_format") == "base64":
            told: list[JsonValue] = [self._packed(vector) for vector in vectors]
        else:
            told = [[*vector] for vector in vectors]
        data: list[JsonValue] = [
            {"object": "embedding", "index": at, "embedding": each} for at, each in enumerate(told)
        ]
        read = token_count(object_of(document.get("usageMetadata")).get("promptTokenCount"))
        # Unknown is null, never 0: not every model counts.
        usage: JsonValue = None if read is None else {"prompt_tokens": read, "total_tokens": read}
        answer: JsonObject = {"object": "list", "data": data, "model": call.model, "usage": usage}
        counted = None if read is None else TokenUsage(read, 0, read)
        return PlainReply(orjson.dumps(answer), answer, counted)

    def scanner(self, call: ChatCall) -> NoReturn:
        refuse_stream()

    def failure(self, status: int, raw: bytes, *, retry_after: float | None) -> UpstreamError:
        return gemini_failure(status, raw, self._provider, retry_after=retry_after)

    def _texts(self, body: Mapping[str, JsonValue]) -> list[str]:
        given = body.get("input")
        texts = given if isinstance(given, list) else [given]
        found = [text for text in texts if isinstance(text, str)]
        if not found or len(found) < len(texts):
            raise invalid(
                "input",
                f"must be a text or a list of texts for {self._provider}",
                hint="tokens mean nothing to another vendor's model",
            )
        return found

    def _numbers(self, embedding: Mapping[str, JsonValue]) -> list[float]:
        values = list_of(embedding.get("values"))
        numbers = [float(value) for value in values if isinstance(value, float | int)]
        if not numbers or len(numbers) < len(values):
            raise self._malformed("an embedding that is no list of numbers")
        return numbers

    def _packed(self, vector: list[float]) -> str:
        """As OpenAI does it: 32-bit floats, the lowest byte first."""
        try:
            return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
        except OverflowError as exc:
            raise self._malformed("numbers beyond 32-bit floats") from exc

    def _malformed(self, what: str) -> UpstreamMalformed:
        return UpstreamMalformed(f"{self._provider} answered with {what}", provider=self._provider)
