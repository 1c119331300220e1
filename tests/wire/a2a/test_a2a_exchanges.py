"""Recorded conversations: the requests are sent again, the answers have to be the same.

Ids and times differ from run to run: the first id of a conversation is ``<id 1>``, and so on, and
a request may name an id that an answer has brought.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx2

from agentcore.kit.db import Database
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from tests.fakes.a2a import a2a, app_of, at, served

RECORDINGS = sorted(Path(__file__).parent.glob("*.json"))
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


class Names:
    """Stable names for the ids of one conversation."""

    def __init__(self) -> None:
        self._ids: list[str] = []

    def hide(self, text: str) -> str:
        for found in ID.findall(text):
            if found not in self._ids:
                self._ids.append(found)
        text = ID.sub(lambda match: f"<id {self._ids.index(match.group()) + 1}>", text)
        return ADDRESS.sub("http://agentcore", TIME.sub("<time>", text))

    def show(self, text: str) -> str:
        return re.sub(r"<id (\d+)>", lambda match: self._ids[int(match.group(1)) - 1], text)


def answer_of(response: httpx2.Response, names: Names) -> JsonObject:
    if response.headers.get("content-type", "").startswith("text/event-stream"):
        lines = response.text.splitlines()
        data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
        events: list[JsonValue] = [json.loads(names.hide(event)) for event in data]
        return {"status": response.status_code, "events": events}
    body: JsonValue = json.loads(names.hide(response.text)) if response.content else None
    return {"status": response.status_code, "body": body}


async def replay(url: str, exchanges: list[JsonValue], caller: str) -> list[JsonObject]:
    names = Names()
    answers = []
    async with httpx2.AsyncClient(base_url=url, headers={"x-caller": caller}, timeout=60) as http:
        for exchange in exchanges:
            request = json.loads(names.show(json.dumps(at(exchange, "request"))))
            response = await http.request(
                request.get("method", "POST"),
                request.get("path", "/a2a"),
                headers=request.get("headers", {}),
                json=request.get("body"),
            )
            answers.append(answer_of(response, names))
    return answers


async def test_the_recorded_answers(database: Database) -> None:
    differing: dict[str, list[JsonObject]] = {}
    async with a2a(database) as runtime, served(app_of(runtime)) as url:
        for recording in RECORDINGS:
            exchanges = json.loads(recording.read_text(encoding="utf-8"))["exchanges"]
            # A tenant of its own for each: lists hold nothing but the conversation's.
            answers = await replay(url, exchanges, f"{recording.stem}/alice")
            if answers != [exchange["response"] for exchange in exchanges]:
                differing[recording.name] = answers
    assert differing == {}


def test_something_is_recorded_for_each_family() -> None:
    assert {path.stem.partition("-")[0] for path in RECORDINGS} == {"1.0", "0.3", "agentcore"}
