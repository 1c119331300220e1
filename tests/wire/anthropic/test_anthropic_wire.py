"""Exchanges with Anthropic in its documented wire: what callers of chat completions and of messages
send, what Anthropic gets and answers, what comes back.

Bodies are compared as parsed JSON, streams event by event.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fakes.clock import ManualClock
from tests.fakes.llm_exchange import play

EXCHANGES = sorted(Path(__file__).parent.glob("*.json"))


@pytest.mark.parametrize("path", EXCHANGES, ids=lambda path: path.stem)
async def test_exchange(path: Path) -> None:
    recorded = json.loads(path.read_text())
    seen, upstream = await play(recorded, "anthropic", recorded["model"], ManualClock())
    assert upstream.paths == ["/v1/messages"]
    assert upstream.bodies == [recorded["upstream_request"]]
    assert seen == {"status": 200, **recorded["answer"]}
