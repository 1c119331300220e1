"""How Gemini's API talks."""

from __future__ import annotations

import re
from typing import Any

from aiohttp import web

from tests.fakes.llm_speech import Fault, Speech
from tests.fakes.llm_upstream import Behaviour, Upstream, event, streams

USAGE = {"promptTokenCount": 12, "candidatesTokenCount": 3, "totalTokenCount": 15}
FAULTS: dict[Fault, tuple[int, str]] = {
    "down": (503, "UNAVAILABLE"),
    "busy": (429, "RESOURCE_EXHAUSTED"),
    "theirs": (400, "INVALID_ARGUMENT"),
}
ASKED = re.compile(r"/v1/models/(?P<model>[^:]+):(g|streamG)enerateContent")


def candidate(text: str | None = None, *, finish: str | None = None) -> dict[str, Any]:
    content: dict[str, Any] = {"role": "model"}
    if text is not None:
        content["parts"] = [{"text": text}]
    told: dict[str, Any] = {"content": content, "index": 0}
    return told if finish is None else {**told, "finishReason": finish}


def answer(*candidates: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {
        "candidates": list(candidates),
        "usageMetadata": USAGE,
        "modelVersion": "gemini-3.5-flash",
        "responseId": "an-answer",
        **others,
    }


def whole(text: str) -> dict[str, Any]:
    return answer(candidate(text, finish="STOP"))


def part(text: str) -> bytes:
    return event(answer(candidate(text)))


def says(text: str) -> Behaviour:
    async def behave(request: web.Request) -> web.StreamResponse:
        if not request.path.endswith(":streamGenerateContent"):
            return web.json_response(whole(text))
        assert request.query == {"alt": "sse"}
        *words, last = text.split(" ")
        parts = [part(word + " ") for word in words]
        return await streams(*parts, event(whole(last)))(request)

    return behave


def _fault(fault: Fault, message: str) -> dict[str, Any]:
    code, status = FAULTS[fault]
    return {"error": {"code": code, "message": message, "status": status}}


def _asked(upstream: Upstream) -> str:
    asked = ASKED.fullmatch(upstream.paths[-1])
    assert asked is not None, upstream.paths
    return asked["model"]


GEMINI = Speech(
    opening=event(answer(candidate())),
    part=part,
    ending=event(answer(candidate(finish="STOP"))),
    last=b"",
    event=event,
    whole=whole,
    fault=_fault,
    says=says,
    asked=_asked,
    credential=("x-goog-api-key", "a-provider-key"),
)
