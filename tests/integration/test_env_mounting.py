"""The servers that the service mounts, behind its own door."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.fakes.deployment import Deployment

CREATE = {"jsonrpc": "2.0", "id": 1, "method": "openenv/session/create"}
GUESS = {"type": "guess", "parameters": {"number": 1}}


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_an_agent_plays_in_an_orchestrators_session_and_cannot_reset(
    deployment: Deployment,
) -> None:
    base = f"{deployment.url}/envs/guess_number"
    agent, orchestrator = (bearer(deployment.token(scope)) for scope in ("env:act", "env:control"))

    async def attached(query: str, *asked: dict[str, Any]) -> list[dict[str, Any]]:
        address = base.replace("http", "ws") + "/ws" + query
        async with connect(address, proxy=None, additional_headers=agent) as socket:
            answers = []
            for frame in asked:
                await socket.send(json.dumps(frame))
                answers.append(json.loads(await socket.recv())["data"])
            return answers or [json.loads(await socket.recv())["data"]]

    async with httpx2.AsyncClient(headers=orchestrator) as http:
        made = (await http.post(f"{base}/mcp", json=CREATE)).json()["result"]["session_id"]
        query = f"?session_id={made}"
        reset = await http.post(f"{base}/reset{query}", json={"seed": 1})
        assert reset.json()["observation"]["hint"] == "start"
        refused, stepped = await attached(
            query, {"type": "reset", "data": {}}, {"type": "step", "data": GUESS}
        )
        assert refused["reason"] == "forbidden"
        assert stepped["done"] is False
        (alone,) = await attached("")
        assert (alone["code"], alone["reason"]) == ("SESSION_ERROR", "forbidden")
        image = await http.get(f"{base}/render{query}")
        assert image.headers["content-type"] == "image/png"
        close = {**CREATE, "method": "openenv/session/close", "params": {"session_id": made}}
        closed = (await http.post(f"{base}/mcp", json=close)).json()["result"]
        assert closed == {"session_id": made, "closed": True}
    metrics = httpx2.get(
        f"{deployment.url}/metrics", headers=bearer(deployment.token("metrics"))
    ).text
    assert 'route="/envs/guess_number/reset"' in metrics


async def test_a_foreign_page_is_refused_behind_the_door_too(deployment: Deployment) -> None:
    headers = {**bearer(deployment.token("env:act")), "origin": "https://evil.example"}
    address = f"{deployment.url}/envs/guess_number/ws".replace("http", "ws", 1)
    with pytest.raises(InvalidStatus) as caught:
        await connect(address, proxy=None, additional_headers=headers)
    assert caught.value.response.status_code == 403
