from __future__ import annotations

import asyncio

import pytest

from agentcore.a2a_protocol.errors import InvalidParams
from agentcore.a2a_protocol.late import LateWires
from agentcore.kit.jsonvalue import JsonObject


async def test_each_version_is_loaded_once() -> None:
    wires = LateWires()
    assert await wires.current() is await wires.current()
    previous = await asyncio.gather(wires.previous(), wires.previous())
    assert await wires.previous() in previous
    assert [wire.method("GetTask") for wire in (await wires.current(), previous[0])] == [
        "GetTask",
        None,
    ]
    assert previous[0].method("tasks/get") == "GetTask"


@pytest.mark.parametrize("params", [{}, {"id": 5}, {"id": None}, {"id": ""}, {"id": ["x"]}])
async def test_both_refuse_what_is_no_task_id(params: JsonObject) -> None:
    wires = LateWires()
    for name, wire in (
        ("GetTask", await wires.current()),
        ("tasks/get", await wires.previous()),
    ):
        with pytest.raises(InvalidParams):
            wire.read(name, {"jsonrpc": "2.0", "id": 1, "method": name, "params": params})
