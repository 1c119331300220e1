from __future__ import annotations

from typing import Any

import pytest
from starlette.types import Message

from agentcore.training.openenv.environments.examples.guess_number import GuessNumber
from agentcore.training.openenv.server import EnvironmentServer

GONE: Message = {"type": "websocket.disconnect", "code": 1006}


def frames(*texts: str) -> list[Message]:
    received = [{"type": "websocket.receive", "text": text} for text in texts]
    return [{"type": "websocket.connect"}, *received, GONE]


async def converse(incoming: list[Message], *, deaf: bool = False) -> list[Any]:
    server = EnvironmentServer("guess_number", GuessNumber)
    sent: list[Any] = []

    async def receive() -> Message:
        return incoming.pop(0)

    async def send(message: Any) -> None:
        if deaf and message["type"] == "websocket.send":
            raise OSError("the peer is gone")
        if message["type"] == "websocket.close":
            assert server.slots.capacity.active == 0, "the slot is free before the farewell"
        sent.append(message)

    await server({"type": "websocket", "path": "/ws", "headers": []}, receive, send)
    assert server.slots.capacity.active == 0
    return [message["type"] for message in sent]


async def test_the_slot_is_free_after_a_disconnect() -> None:
    assert await converse(frames('{"type":"reset"}')) == ["websocket.accept", "websocket.send"]


async def test_the_slot_is_free_when_the_answer_finds_nobody() -> None:
    assert await converse(frames('{"type":"reset"}'), deaf=True) == ["websocket.accept"]


async def test_the_slot_is_free_before_the_farewell() -> None:
    assert await converse(frames('{"type":"close"}')) == ["websocket.accept", "websocket.close"]


@pytest.mark.parametrize("kind", ["null", "7", "[]", "{}"])
async def test_a_type_that_is_no_name_is_unknown(kind: str) -> None:
    assert await converse(frames(f'{{"type":{kind}}}')) == ["websocket.accept", "websocket.send"]
