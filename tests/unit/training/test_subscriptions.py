from __future__ import annotations

import asyncio
import json
from typing import Any

from agentcore.kit.server_events import HEARTBEAT, ServerEvent
from agentcore.training.openenv.journal import Journal
from agentcore.training.openenv.subscriptions import Subscription


def watching(log: Journal, after: str | None = None, heartbeat: float = 60.0) -> Subscription:
    return Subscription(
        log, after, session_id="s", closed=lambda: True, heartbeat_seconds=heartbeat
    )


async def test_events_have_their_ids_and_the_result_names_the_last() -> None:
    log = Journal("j", most_entries=9, most_bytes=999)
    events = watching(log)
    log.put(b"1")
    log.put(b"2")
    log.end()
    assert events.result()["last_event_id"] is None
    assert [each async for each in events] == [ServerEvent(b"1", "j-1"), ServerEvent(b"2", "j-2")]
    assert events.result() == {"session_id": "s", "closed": True, "last_event_id": "j-2"}


async def test_a_gap_is_an_event_without_an_id() -> None:
    log = Journal("j", most_entries=1, most_bytes=999)
    events = watching(log)
    for _ in range(4):
        log.put(b"x")
    log.end()
    gap, last = [each async for each in events]
    told: dict[str, Any] = json.loads(gap.data)
    assert gap.id == ""
    assert told["method"] == "environment.state_changed"
    assert told["params"]["kind"] == "gap"
    assert told["params"]["missed"] == 3
    assert last == ServerEvent(b"x", "j-4")


async def test_silence_is_filled_with_heartbeats() -> None:
    log = Journal("j", most_entries=1, most_bytes=999)
    events = aiter(watching(log, heartbeat=0.001))
    assert await anext(events) is HEARTBEAT
    assert await anext(events) is HEARTBEAT
    log.put(b"x")
    assert (await anext(events)).data == b"x"


async def test_a_watcher_that_does_not_read_holds_up_nobody() -> None:
    log = Journal("j", most_entries=8, most_bytes=999)
    slow, quick = aiter(watching(log)), aiter(watching(log))
    for number in range(100):
        log.put(str(number).encode())
        assert (await anext(quick)).data == str(number).encode()
    await asyncio.sleep(0)
    assert json.loads((await anext(slow)).data)["params"]["missed"] == 92
