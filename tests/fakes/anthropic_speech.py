"""How Anthropic's Messages API talks."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from tests.fakes.llm_speech import Fault, Speech
from tests.fakes.llm_upstream import Behaviour, streamed

FAULTS: dict[Fault, str] = {
    "down": "api_error",
    "busy": "overloaded_error",
    "theirs": "invalid_request_error",
}


def message(*content: dict[str, Any], stop: str | None = "end_turn") -> dict[str, Any]:
    return {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-5",
        "content": list(content),
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": 12, "output_tokens": 3},
    }


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def event(document: dict[str, Any] | str) -> bytes:
    """A named event; a text is put where its document belongs."""
    if isinstance(document, str):
        return f"event: content_block_delta\ndata: {document}\n\n".encode()
    data = json.dumps(document, separators=(",", ":"))
    return f"event: {document['type']}\ndata: {data}\n\n".encode()


def starts(**usage: int) -> bytes:
    begun = message(stop=None)
    begun["usage"] = {"input_tokens": 12, "output_tokens": 1, **usage}
    return event({"type": "message_start", "message": begun})


def opens(index: int = 0, **block: Any) -> bytes:
    content = block or text("")
    return event({"type": "content_block_start", "index": index, "content_block": content})


def grows(index: int = 0, **delta: Any) -> bytes:
    return event({"type": "content_block_delta", "index": index, "delta": delta})


def part(said: str) -> bytes:
    return grows(type="text_delta", text=said)


def closes(index: int = 0) -> bytes:
    return event({"type": "content_block_stop", "index": index})


def thinks(index: int, thought: str, signature: str) -> bytes:
    """A whole block of thinking."""
    return (
        opens(index, type="thinking", thinking="", signature="")
        + grows(index, type="thinking_delta", thinking=thought)
        + grows(index, type="signature_delta", signature=signature)
        + closes(index)
    )


def turns(stop: str = "end_turn", **usage: Any) -> bytes:
    delta = {"stop_reason": stop, "stop_sequence": None}
    return event({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 3, **usage}})


PING = event({"type": "ping"})
OPENING = starts() + opens() + PING
STOP = event({"type": "message_stop"})


def events_of(said: str) -> list[bytes]:
    """A whole stream, a word per event."""
    words = [word + " " for word in said.split(" ")]
    words[-1] = words[-1].rstrip()
    return [OPENING, *map(part, words), closes(), turns(), STOP]


def says(said: str) -> Behaviour:
    """Answer well, plain or streamed as asked."""

    async def behave(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if body.get("stream"):
            return await streamed(request, events_of(said))
        return web.json_response(message(text(said)))

    return behave


def fault(kind: Fault, told: str) -> dict[str, Any]:
    error = {"type": FAULTS[kind], "message": told}
    return {"type": "error", "error": error, "request_id": "req_011"}


ANTHROPIC = Speech(
    opening=OPENING,
    part=part,
    ending=closes() + turns(),
    last=STOP,
    event=event,
    whole=lambda said: message(text(said)),
    fault=fault,
    says=says,
    asked=lambda upstream: str(upstream.bodies[-1]["model"]),
    credential=("x-api-key", "a-provider-key"),
)
