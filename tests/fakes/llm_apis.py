"""What a provider is asked, by the request's path and body, and how its API talks about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from tests.fakes.anthropic_speech import ANTHROPIC
from tests.fakes.gemini_speech import GEMINI
from tests.fakes.llm_speech import OPENAI, Speech
from tests.fakes.responses_speech import RESPONSES


def _numbers(said: str) -> list[float]:
    return [float(len(word)) for word in said.split()]


def _vectors(said: str) -> dict[str, Any]:
    return {
        "object": "list",
        "model": "Qwen/Qwen3-8B",
        "data": [{"object": "embedding", "index": 0, "embedding": _numbers(said)}],
        "usage": {"prompt_tokens": 12, "total_tokens": 12},
    }


def _gemini_vectors(said: str) -> dict[str, Any]:
    return {
        "embeddings": [{"values": _numbers(said)}],
        "usageMetadata": {"promptTokenCount": 12},
    }


# Embeddings are never streamed.
_UNSTREAMED: dict[str, Any] = {"opening": b"", "ending": b"", "last": b""}
SPEECHES: Mapping[str, Speech] = {
    "/v1/chat/completions": OPENAI,
    "/v1/responses": RESPONSES,
    "/v1/messages": ANTHROPIC,
    "/v1/embeddings": replace(OPENAI, **_UNSTREAMED, whole=_vectors),
    "generateContent": GEMINI,
    "streamGenerateContent": GEMINI,
    "batchEmbedContents": replace(GEMINI, **_UNSTREAMED, whole=_gemini_vectors),
}


class Heard(NamedTuple):
    """``stream``: it is to answer with one."""

    speech: Speech
    model: str
    stream: bool


def heard(path: str, body: Mapping[str, Any]) -> Heard:
    """Gemini's path names the model and the method, everybody else's the API alone."""
    path = path.partition("?")[0]
    model, _, method = path.rpartition("/")[2].partition(":")
    if method:
        return Heard(SPEECHES[method], model, method.startswith("stream"))
    return Heard(SPEECHES[path], str(body["model"]), body.get("stream") is True)
