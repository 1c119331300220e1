from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agentcore.simulators.models import SIMULATED_HEADER, ClusterConfig
from agentcore.simulators.server import serve_cluster

EXCHANGES = sorted(Path(__file__).parent.glob("*.json"))
QUICK = {"port": 0, "first_token_seconds": 0, "token_seconds": 0}


def general(value: Any) -> Any:
    """``value`` without what differs each time: ids and times."""
    if isinstance(value, list):
        return [general(item) for item in value]
    if isinstance(value, dict):
        found = {name: general(member) for name, member in value.items()}
        if "created" in found:
            found["created"] = 0
        if str(found.get("object", "")).startswith("chat."):
            found["id"] = "<id>"
        return found
    return value


def events(text: str) -> list[Any]:
    assert text.endswith("\n\n")
    lines = text.removesuffix("\n\n").split("\n\n")
    data = [line.removeprefix("data: ") for line in lines]
    return [item if item == "[DONE]" else json.loads(item) for item in data]


async def respond(
    http: aiohttp.ClientSession, base_url: str, request: dict[str, Any]
) -> dict[str, Any]:
    body = request.get("text", json.dumps(request["json"]) if "json" in request else None)
    async with http.request(request["method"], base_url + request["path"], data=body) as response:
        assert response.headers[SIMULATED_HEADER] == "1"
        found: dict[str, Any] = {
            "status": response.status,
            "content_type": response.content_type,
        }
        text = await response.text()
    if response.content_type != "text/event-stream":
        return found | {"json": general(json.loads(text))}
    if not text.startswith("data:"):
        return found | {"bare": json.loads(text)}
    return found | {"events": general(events(text))}


@pytest.mark.parametrize("path", EXCHANGES, ids=lambda path: path.stem)
async def test_exchange(path: Path) -> None:
    exchange = json.loads(path.read_text(encoding="utf-8"))
    config = ClusterConfig.model_validate(
        {**QUICK, **exchange.get("config", {}), "faults": exchange.get("faults", [])}
    )
    async with serve_cluster(config) as cluster, aiohttp.ClientSession() as http:
        assert await respond(http, cluster.base_url, exchange["request"]) == exchange["response"]
    assert exchange["source"] in {"measured", "read", "inferred"}


async def test_the_official_sdk_reads_it() -> None:
    from openai import APIStatusError, AsyncOpenAI

    hello = [{"role": "user", "content": "hello"}]
    async with serve_cluster(ClusterConfig.model_validate(QUICK)) as cluster:
        client = AsyncOpenAI(base_url=f"{cluster.base_url}/v1", api_key="none", max_retries=0)
        async with client:
            create: Any = client.chat.completions.create
            plain = await create(model="any", messages=hello)
            stream = await create(
                model="any",
                messages=hello,
                stream=True,
                stream_options={"include_usage": True},
            )
            chunks = [chunk async for chunk in stream]
            with pytest.raises(APIStatusError, match="Only n=1 is supported"):
                await create(model="any", messages=hello, n=2)
            models = [model.id async for model in client.models.list()]
    said = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert said == plain.choices[0].message.content
    assert chunks[-1].usage == plain.usage
    assert models == [plain.model] == ["simulated/playbook-7b"]
