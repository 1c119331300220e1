"""The foreign programs start, say where they are, and are gone afterwards."""

from __future__ import annotations

import json

import httpx2
import pytest
from websockets.asyncio.client import connect

from tests.peers.launch import upstream_openenv


async def test_upstream_openenv_plays_an_episode() -> None:
    async with upstream_openenv("--steps", "2") as address:
        async with connect(address.replace("http", "ws") + "/ws") as socket:
            seen = []
            for frame in (
                {"type": "reset", "data": {"seed": 7, "greeting": "hey"}},
                {"type": "step", "data": {"message": "hi"}},
                {"type": "step", "data": {"message": "raise"}},
                {"type": "step", "data": {"message": "nan"}},
                {"type": "state"},
            ):
                await socket.send(json.dumps(frame))
                seen.append(json.loads(await socket.recv()))
    assert [answer["type"] for answer in seen] == [
        *("observation", "observation", "error", "observation", "state")
    ]
    assert [answer["data"].get("reward") for answer in seen] == [None, 0.2, None, None, None]
    assert [answer["data"].get("done") for answer in seen] == [False, False, None, True, None]
    assert seen[4]["data"]["seed"] == 7
    async with httpx2.AsyncClient() as http:
        with pytest.raises(httpx2.ConnectError):
            await http.get(f"{address}/health")
