"""How OpenAI's Responses API talks, for the providers' suite."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from tests.fakes.llm_speech import OPENAI_FAULTS, Fault, Speech
from tests.fakes.llm_upstream import Behaviour, streams

PLACE = {"item_id": "msg_1", "output_index": 0, "content_index": 0}


def named(kind: str, **members: Any) -> bytes:
    data = json.dumps({"type": kind, "sequence_number": 0, **members})
    return f"event: {kind}\ndata: {data}\n\n".encode()


def part(text: str) -> bytes:
    return named("response.output_text.delta", **PLACE, delta=text, logprobs=[])


def response(text: str, status: str = "completed") -> dict[str, Any]:
    spoken = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [spoken]}
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": status,
        "error": None,
        "model": "Qwen/Qwen3-8B",
        "output": [{**message, "status": status}],
        "usage": {"input_tokens": 12, "output_tokens": 3, "total_tokens": 15},
    }


def event(document: dict[str, Any] | str) -> bytes:
    """A document that says itself what it is; a text is not what a stream should hold."""
    if isinstance(document, str):
        return f"event: response.output_text.delta\ndata: {document}\n\n".encode()
    return named("error", **document)


def fault(kind: Fault, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "x", "code": OPENAI_FAULTS[kind]}}


def says(text: str) -> Behaviour:
    async def behave(request: web.Request) -> web.StreamResponse:
        if not (await request.json()).get("stream"):
            return web.json_response(response(text))
        words = [part(f"{word} ") for word in text.split()]
        return await streams(OPENING, *words, ending(text))(request)

    return behave


def ending(text: str) -> bytes:
    return named("response.completed", response=response(text))


OPENING = named("response.created", response=response("", "in_progress"))
RESPONSES = Speech(
    opening=OPENING,
    part=part,
    ending=ending("Hello there!"),
    last=b"",
    event=event,
    whole=response,
    fault=fault,
    says=says,
    asked=lambda upstream: str(upstream.bodies[-1]["model"]),
    credential=("Authorization", "Bearer a-provider-key"),
)
