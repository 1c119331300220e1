from __future__ import annotations

from typing import Any

import pytest
from starlette.types import Message

from agentcore.kit.ids import Ids
from agentcore.training.openenv.environments.examples.guess_number import GuessNumber
from agentcore.training.openenv.hosting import EnvironmentHost
from agentcore.training.openenv.server_session import SessionSocket

GONE: Message = {"type": "websocket.disconnect", "code": 1006}


class OneSlot:
    name = "guess_number"

    def __init__(self) -> None:
        self.taken = 0

    def admit(self) -> EnvironmentHost:
        self.taken += 1
        return EnvironmentHost(GuessNumber(), Ids())

    async def release(self, host: EnvironmentHost) -> None:
        self.taken -= 1


def frames(*texts: str) -> list[Message]:
    received = [{"type": "websocket.receive", "text": text} for text in texts]
    return [{"type": "websocket.connect"}, *received, GONE]


async def converse(slots: OneSlot, incoming: list[Message], *, deaf: bool = False) -> list[Any]:
    sent: list[Any] = []

    async def receive() -> Message:
        return incoming.pop(0)

    async def send(message: Any) -> None:
        if deaf and message["type"] == "websocket.send":
            raise OSError("the peer is gone")
        sent.append(message)

    await SessionSocket(slots)({"type": "websocket", "query_string": b""}, receive, send)
    return [message["type"] for message in sent]


async def test_the_slot_is_free_after_a_disconnect() -> None:
    slots = OneSlot()
    assert await converse(slots, frames('{"type":"reset"}')) == [
        "websocket.accept",
        "websocket.send",
    ]
    assert slots.taken == 0


async def test_the_slot_is_free_when_the_answer_finds_nobody() -> None:
    slots = OneSlot()
    assert await converse(slots, frames('{"type":"reset"}'), deaf=True) == ["websocket.accept"]
    assert slots.taken == 0


async def test_the_slot_is_free_before_the_farewell() -> None:
    slots = OneSlot()
    assert await converse(slots, frames('{"type":"close"}')) == [
        "websocket.accept",
        "websocket.close",
    ]
    assert slots.taken == 0


@pytest.mark.parametrize("kind", ["null", "7", "[]", "{}"])
async def test_a_type_that_is_no_name_is_unknown(kind: str) -> None:
    assert await converse(OneSlot(), frames(f'{{"type":{kind}}}')) == [
        "websocket.accept",
        "websocket.send",
    ]
