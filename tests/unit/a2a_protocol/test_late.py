from __future__ import annotations

import asyncio

import pytest

from agentcore.a2a_protocol.errors import InvalidParams
from agentcore.a2a_protocol.late import QUIET_SECONDS, LateWires
from agentcore.kit.jsonvalue import JsonObject
from tests.fakes.clock import ManualClock


async def test_each_version_is_loaded_once(clock: ManualClock) -> None:
    wires = LateWires(clock)
    warming = asyncio.ensure_future(wires.warm())
    await asyncio.sleep(0)
    clock.advance(QUIET_SECONDS)
    await warming
    assert await wires.current() is await wires.current()
    previous = await asyncio.gather(wires.previous(), wires.previous())
    assert await wires.previous() in previous
    assert [wire.method("GetTask") for wire in (await wires.current(), previous[0])] == [
        "GetTask",
        None,
    ]
    assert previous[0].method("tasks/get") == "GetTask"


@pytest.mark.parametrize("params", [{}, {"id": 5}, {"id": None}, {"id": ""}, {"id": ["x"]}])
async def test_both_refuse_what_is_no_task_id(params: JsonObject, clock: ManualClock) -> None:
    wires = LateWires(clock)
    for name, wire in (
        ("GetTask", await wires.current()),
        ("tasks/get", await wires.previous()),
    ):
        with pytest.raises(InvalidParams):
            wire.read(name, {"jsonrpc": "2.0", "id": 1, "method": name, "params": params})
