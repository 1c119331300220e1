"""Recorded exchanges: what the caller sends, what the provider gets and answers, what comes back.

Bodies are compared as parsed JSON, streams event by event.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentcore.kit.clock import SystemClock
from tests.fakes.llm_exchange import play

EXCHANGES = sorted(Path(__file__).parent.glob("*.json"))


@pytest.mark.parametrize("path", EXCHANGES, ids=lambda path: path.stem)
async def test_exchange(path: Path) -> None:
    recorded = json.loads(path.read_text())
    model = recorded["upstream_request"]["model"]
    seen, upstream = await play(recorded, recorded["provider"], model, SystemClock())
    assert upstream.bodies == [recorded["upstream_request"]]
    assert seen == {"status": 200, **recorded["answer"]}
