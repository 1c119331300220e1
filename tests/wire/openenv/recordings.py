"""Recorded conversations: what a client sends and what the server answers, as parsed JSON."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import httpx2

from tests.contracts.openenv.suite import Subject, session

HERE = Path(__file__).parent
PAGES = ("/health", "/metadata", "/schema")


def load(name: str) -> dict[str, Any]:
    recording: dict[str, Any] = json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
    return recording


async def record(url: str, frames: list[Any]) -> dict[str, Any]:
    """Ask the server at ``url`` for its pages and send it ``frames`` in one session."""
    async with httpx2.AsyncClient(base_url=url) as http:
        pages = {path: (await http.get(path)).json() for path in PAGES}
    exchanges = []
    async with session(Subject(url, 1, {}, lambda _: {}, {})) as one:
        for frame in frames:
            answer = await one.raw(json.dumps(frame))
            exchanges.append({"send": frame, "receive": _without_pixels(answer)})
    return {"pages": pages, "exchanges": exchanges}


def _without_pixels(answer: dict[str, Any]) -> dict[str, Any]:
    """Which bytes an image has is the business of the library that drew it."""
    if answer["type"] != "render" or answer["data"]["image"] is None:
        return answer
    assert base64.b64decode(answer["data"]["image"]).startswith(b"\x89PNG")
    return {**answer, "data": {**answer["data"], "image": "a PNG"}}
