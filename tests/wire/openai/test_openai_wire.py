"""Exchanges in which a provider is asked in another way than its caller speaks, and embeddings:
what the caller sends, what the provider gets and answers, what comes back.

Bodies are compared as parsed JSON, streams event by event.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.clock import ManualClock
from tests.fakes.llm_exchange import play

EXCHANGES = {
    path.stem: path for path in sorted((Path(__file__).parent / "exchanges").glob("*.json"))
}


def recorded(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(EXCHANGES[name].read_text())
    return found


@pytest.mark.parametrize("name", EXCHANGES)
async def test_exchange(name: str) -> None:
    exchange = recorded(name)
    seen, upstream = await play(exchange, exchange["provider"], exchange["model"], ManualClock())
    assert upstream.paths == [exchange["upstream_path"]]
    assert upstream.bodies == [exchange["upstream_request"]]
    assert seen == exchange["answer"]


@pytest.mark.parametrize("name", [name for name in EXCHANGES if "embeddings" not in name])
def test_openais_own_types_describe_what_comes_back(name: str) -> None:
    # Half a second to import.
    from openai.types.responses import Response, ResponseStreamEvent
    from pydantic import TypeAdapter

    answer = recorded(name)["answer"]
    if answer["status"] != 200:
        return
    if "json" in answer:
        Response.model_validate(answer["json"], strict=True)
        return
    events: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)
    for number, event in enumerate(answer["events"]):
        assert event["sequence_number"] == number
        events.validate_python(event, strict=True)
