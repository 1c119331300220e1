from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

import pytest

from agentcore.kit.server_events import HEARTBEAT, EventResponse, ServerEvent, encode
from agentcore.kit.standing import STANDING

if TYPE_CHECKING:
    from starlette.types import Message


def test_events_as_the_standard_writes_them() -> None:
    assert encode(ServerEvent(b'{"a":1}', "n-1")) == b'id: n-1\ndata: {"a":1}\n\n'
    assert encode(ServerEvent(b"{}")) == b"data: {}\n\n"
    assert encode(HEARTBEAT) == b": \n\n"


async def test_a_response_carries_them() -> None:
    async def events() -> AsyncGenerator[ServerEvent]:
        yield ServerEvent(b"1", "a")
        yield HEARTBEAT

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    response = EventResponse(events())
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-cache"
    await response.stream_response(send)
    assert (sent[0]["type"], sent[0]["status"]) == ("http.response.start", 200)
    chunks = [b"retry: 1000\n\n", b"id: a\ndata: 1\n\n", b": \n\n", b""]
    assert [each["body"] for each in sent[1:]] == chunks
    assert [each["more_body"] for each in sent[1:]] == [True, True, True, False]


@pytest.mark.parametrize("parts", [0, 1, 2, 3])
async def test_a_reader_that_goes_closes_the_events(parts: int) -> None:
    """Whether it goes while an event is awaited or while one is being sent."""
    closed, gone = asyncio.Event(), asyncio.Event()

    async def events() -> AsyncGenerator[ServerEvent]:
        try:
            yield ServerEvent(b"1")
            await asyncio.Event().wait()
        finally:
            closed.set()

    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    sent = 0

    async def send(message: Message) -> None:
        nonlocal sent
        if sent == parts:
            gone.set()
            await asyncio.Event().wait()
        sent += 1

    if parts == 3:
        asyncio.get_running_loop().call_later(0.01, gone.set)
    await EventResponse(events())({"type": "http"}, receive, send)
    assert closed.is_set() or parts < 2, "what never began has nothing to close"


async def test_a_reader_whose_credential_is_gone_hears_no_more() -> None:
    closed, good = asyncio.Event(), True
    sent: list[bytes] = []

    async def events() -> AsyncGenerator[ServerEvent]:
        try:
            for number in range(100):
                yield ServerEvent(b"%d" % number)
        finally:
            closed.set()

    async def standing() -> bool:
        return good

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        nonlocal good
        sent.append(message.get("body", b""))
        good = len(sent) < 5

    scope = {"type": "http", "state": {STANDING: standing}}
    await EventResponse(events(), recheck_seconds=0)(scope, receive, send)
    assert closed.is_set()
    assert b"".join(sent) == b"retry: 1000\n\ndata: 0\n\ndata: 1\n\ndata: 2\n\n"
