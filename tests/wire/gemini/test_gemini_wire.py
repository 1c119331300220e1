"""Exchanges with Gemini in its documented wire: what the caller sends, what Gemini gets and
answers, what comes back.

Bodies are compared as parsed JSON, streams event by event.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.clock import ManualClock
from tests.fakes.llm_exchange import play

EXCHANGES = sorted(Path(__file__).parent.glob("*.json"))


@pytest.mark.parametrize("path", EXCHANGES, ids=lambda path: path.stem)
async def test_exchange(path: Path) -> None:
    exchange = recorded(path.stem)
    seen, upstream = await play(exchange, "gemini", exchange["model"], ManualClock())
    assert upstream.paths == [f"/v1/models/{exchange['model']}:{exchange['method']}"]
    assert upstream.bodies == [exchange["upstream_request"]]
    assert seen == {"status": 200, **exchange["answer"]}


def recorded(name: str) -> Any:
    return json.loads((Path(__file__).parent / f"{name}.json").read_text())


def test_openais_own_library_reads_the_answers_and_keeps_their_signatures() -> None:
    # Half a second to import.
    from openai.types.chat import ChatCompletion, ChatCompletionChunk

    for name in ("tools_called", "several_answers_and_their_likelihood", "question_blocked"):
        ChatCompletion.model_validate(recorded(name)["answer"]["json"], strict=True)
    *chunks, done = recorded("stream_of_tools")["answer"]["events"]
    assert done == "[DONE]"
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)
    answer = ChatCompletion.model_validate(recorded("tools_called")["answer"]["json"])
    said = answer.choices[0].message.model_dump(exclude_none=True)
    asked_again = recorded("tools_answered")["request"]["messages"][1]
    assert said == {key: value for key, value in asked_again.items() if value is not None}
