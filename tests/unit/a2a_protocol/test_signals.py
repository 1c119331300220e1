from __future__ import annotations

import asyncio

from agentcore.a2a_protocol.tasks.signals import BothSignals, ChannelSignals
from agentcore.kit import jsonvalue
from agentcore.kit.cache import Cache
from agentcore.kit.clock import SystemClock
from agentcore.kit.supervisor import Supervisor
from tests.fakes.a2a import SharedChannel


def signals(
    wire: SharedChannel | Cache, sender: str, supervisor: Supervisor, heard: list[str]
) -> ChannelSignals:
    return ChannelSignals(
        wire, heard.append, sender=sender, supervisor=supervisor, clock=SystemClock()
    )


async def test_others_hear_and_the_sender_does_not(supervisor: Supervisor) -> None:
    wire, mine, theirs = SharedChannel(), list[str](), list[str]()
    one = signals(wire, "one", supervisor, mine)
    signals(wire, "two", supervisor, theirs)
    for task_id in ("a", "b", "a"):
        one.announce(task_id)
    while not theirs:
        await asyncio.sleep(0.001)
    assert (theirs, mine, len(wire.sent)) == (["a", "b"], [], 1)
    one.announce("c")
    while len(theirs) < 3:
        await asyncio.sleep(0.001)


def test_what_is_no_word_of_ours_is_passed_over() -> None:
    wire, heard = SharedChannel(), list[str]()
    signals(wire, "one", Supervisor(), heard)
    for message in (b"", b"[]", b'{"from":"x"}', b'{"from":"one","tasks":["t"]}'):
        wire.handlers[0](message)
    assert heard == []
    wire.handlers[0](jsonvalue.dumps({"from": "x", "tasks": ["t"]}))
    assert heard == ["t"]


async def test_over_the_real_channel(cache: Cache, supervisor: Supervisor) -> None:
    """The listener comes after the cache has connected, as it does at the start."""
    while cache.degraded:
        await asyncio.sleep(0.001)
    heard = list[str]()
    signals(cache, "two", supervisor, heard)
    one = signals(cache, "one", supervisor, [])
    async with asyncio.timeout(20):
        while not heard:
            one.announce("t")
            await asyncio.sleep(0.05)
    assert heard[0] == "t"


def test_each_of_several_is_told() -> None:
    told: list[str] = []

    class Ear:
        def announce(self, task_id: str) -> None:
            told.append(task_id)

    BothSignals(Ear(), Ear()).announce("t")
    assert told == ["t", "t"]
