"""The endpoint through a real client: pace, capacity, and each fault as a client meets it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from agentcore.simulators.models import Fault
from agentcore.simulators.server import RunningCluster, serve_cluster
from tests.fakes.clock import ManualClock
from tests.fakes.waiting import eventually
from tests.unit.simulators.conftest import Configure, asleep

HELLO = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 20}


def post(
    http: aiohttp.ClientSession, cluster: RunningCluster, **members: Any
) -> Any:  # aiohttp's context manager has no public name
    return http.post(f"{cluster.base_url}/v1/chat/completions", json={**HELLO, **members})


async def outcome(http: aiohttp.ClientSession, cluster: RunningCluster, **members: Any) -> int:
    async with post(http, cluster, **members) as response:
        await response.read()
        return int(response.status)


async def idle(cluster: RunningCluster) -> None:
    records = cluster.requests.records
    await eventually(lambda: all(record.outcome != "running" for record in records))


async def test_any_model_name_works_and_the_served_one_answers(
    configure: Configure, http: aiohttp.ClientSession
) -> None:
    async with (
        serve_cluster(configure(model="simulated/other")) as cluster,
        post(http, cluster, model="gpt-4o") as response,
    ):
        assert (await response.json())["model"] == "simulated/other"


async def test_tokens_come_at_their_pace(configure: Configure, http: aiohttp.ClientSession) -> None:
    clock = ManualClock()
    config = configure(first_token_seconds=2, token_seconds=1, jitter=0)
    async with (
        serve_cluster(config, clock=clock) as cluster,
        post(http, cluster, stream=True, max_tokens=3) as response,
    ):

        async def event() -> bytes:
            found: bytes = await response.content.readuntil(b"\n\n")
            return found

        await asleep(clock)
        assert response.content.total_bytes == 0
        clock.advance(2)
        assert b'"role"' in await event()
        assert b'"content"' in await event()
        for number in (2, 3):
            await asleep(clock, number)
            clock.advance(1)
            assert b'"content"' in await event()
        await asleep(clock, 4)
        clock.advance(1)
        assert b'"finish_reason"' in await event()
        assert await event() == b"data: [DONE]\n\n"
    assert clock.slept == [2, 1, 1, 1]


async def test_a_plain_reply_takes_first_token_and_all_others(
    configure: Configure, http: aiohttp.ClientSession
) -> None:
    clock = ManualClock()
    config = configure(first_token_seconds=2, token_seconds=1, jitter=0)
    async with serve_cluster(config, clock=clock) as cluster, asyncio.TaskGroup() as group:
        reply = group.create_task(outcome(http, cluster, max_tokens=3))
        await asleep(clock)
        assert clock.slept == [4]
        clock.advance(4)
        assert await reply == 200


async def test_more_than_the_capacity_waits_or_is_turned_away(
    configure: Configure, http: aiohttp.ClientSession
) -> None:
    for when_full, expected in (("queue", [200] * 4), ("reject", [200, 200, 429, 429])):
        clock = ManualClock()
        config = configure(capacity=2, when_full=when_full, first_token_seconds=1)
        async with serve_cluster(config, clock=clock) as cluster:
            asked = [asyncio.ensure_future(outcome(http, cluster)) for _ in range(4)]
            await eventually(lambda: len(cluster.requests.records) == 4)
            while not all(each.done() for each in asked):
                clock.advance(1)
                await asyncio.sleep(0.001)
            assert sorted(each.result() for each in asked) == expected


async def test_no_429_says_when_to_return(
    configure: Configure, http: aiohttp.ClientSession
) -> None:
    config = configure(faults=(Fault(kind="rate_limited"),))
    async with serve_cluster(config) as cluster, post(http, cluster) as response:
        assert response.status == 429
        assert "retry-after" not in response.headers


async def test_the_start_budget_stalls_sequential_requests(
    configure: Configure, http: aiohttp.ClientSession
) -> None:
    clock = ManualClock()
    config = configure(capacity=4, faults=(Fault(kind="start_budget", seconds=10),))
    async with serve_cluster(config, clock=clock) as cluster, asyncio.TaskGroup() as group:
        assert [await outcome(http, cluster) for _ in range(4)] == [200] * 4
        assert not clock.slept
        fifth = group.create_task(outcome(http, cluster))
        await asleep(clock)
        assert clock.slept == [10]
        clock.advance(10)
        assert await fifth == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_a_stall_holds_back_the_first_byte(
    stream: bool, configure: Configure, http: aiohttp.ClientSession
) -> None:
    config = configure(faults=(Fault(kind="stall", seconds=0.1, times=1),))
    loop = asyncio.get_running_loop()
    async with serve_cluster(config) as cluster:
        begun = loop.time()
        async with post(http, cluster, stream=stream) as response:
            await response.content.readany()
        assert loop.time() - begun >= 0.1


async def test_a_dropped_connection(configure: Configure, http: aiohttp.ClientSession) -> None:
    async with serve_cluster(configure(faults=(Fault(kind="drop_connection"),))) as cluster:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await outcome(http, cluster)
        assert cluster.requests.outcomes == {"dropped": 1}


async def test_a_cut_stream_ends_cleanly_and_too_early(
    configure: Configure, http: aiohttp.ClientSession
) -> None:
    faults = (Fault(kind="cut_stream", after_tokens=2),)
    async with serve_cluster(configure(faults=faults)) as cluster:
        async with post(http, cluster, stream=True) as response:
            text = await response.text()
        assert text.count("data:") == 3
        assert "finish_reason" not in text
        assert "[DONE]" not in text


async def test_a_silent_stream_says_nothing_until_the_client_leaves(
    configure: Configure, http: aiohttp.ClientSession
) -> None:
    faults = (Fault(kind="silent_stream", after_tokens=1, seconds=600),)
    async with serve_cluster(configure(faults=faults, capacity=1)) as cluster:
        async with post(http, cluster, stream=True) as response:
            heard = b""
            while heard.count(b"data:") < 2:
                heard += await response.content.readany()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(response.content.readany(), 0.05)
        await idle(cluster)
        assert cluster.requests.outcomes == {"disconnected": 1}
        cluster.fail()
        assert await outcome(http, cluster) == 200


async def test_an_error_event_still_ends_in_done(
    configure: Configure, http: aiohttp.ClientSession
) -> None:
    faults = (Fault(kind="error_event", after_tokens=1),)
    async with serve_cluster(configure(faults=faults)) as cluster:
        async with post(http, cluster, stream=True) as response:
            *_, error, done = (await response.text()).split("\n\n")[:-1]
        assert done == "data: [DONE]"
        assert "error" in json.loads(error.removeprefix("data: "))


async def test_json_instead_of_a_stream(configure: Configure, http: aiohttp.ClientSession) -> None:
    config = configure(faults=(Fault(kind="json_instead_of_stream"),))
    async with serve_cluster(config) as cluster, post(http, cluster, stream=True) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        assert "error" in json.loads(await response.text())


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("json_instead_of_stream", 500),
        ("error_event", 500),
        ("silent_stream", 503),
        ("internal_error", 500),
        ("bad_gateway", 502),
        ("routing_error", 500),
    ],
)
async def test_what_a_plain_request_meets(
    kind: str, status: int, configure: Configure, http: aiohttp.ClientSession
) -> None:
    faults = (Fault.model_validate({"kind": kind, "seconds": 0.01}),)
    async with serve_cluster(configure(faults=faults)) as cluster:
        assert await outcome(http, cluster) == status


async def test_a_cut_under_a_plain_request_is_a_lost_connection(
    configure: Configure, http: aiohttp.ClientSession
) -> None:
    async with serve_cluster(configure(faults=(Fault(kind="cut_stream"),))) as cluster:
        with pytest.raises(aiohttp.ClientError):
            await outcome(http, cluster)


async def test_a_random_rate_strikes_some_and_reproducibly(
    configure: Configure, http: aiohttp.ClientSession
) -> None:
    runs = []
    for _ in range(2):
        async with serve_cluster(
            configure(faults=(Fault(kind="server_not_ready", rate=0.3),), seed=5)
        ) as cluster:
            runs.append([await outcome(http, cluster) for _ in range(30)])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 503}


async def test_leaving_a_stream_frees_its_slot(
    configure: Configure, http: aiohttp.ClientSession
) -> None:
    config = configure(capacity=1, token_seconds=0.01)
    async with serve_cluster(config) as cluster:
        async with post(http, cluster, stream=True, max_tokens=1000) as response:
            await response.content.readany()
        await idle(cluster)
        assert cluster.requests.outcomes == {"disconnected": 1}


async def test_the_context_is_shared_by_prompt_and_reply(
    configure: Configure, http: aiohttp.ClientSession
) -> None:
    config = configure(context_tokens=12)
    async with serve_cluster(config) as cluster, post(http, cluster) as response:
        body = await response.json()
    assert body["usage"]["total_tokens"] == 12
    assert body["choices"][0]["finish_reason"] == "length"


async def test_usage_agrees_between_plain_and_streamed(
    configure: Configure, http: aiohttp.ClientSession
) -> None:
    async with serve_cluster(configure()) as cluster:
        async with post(http, cluster) as response:
            plain = await response.json()
        async with post(
            http, cluster, stream=True, stream_options={"include_usage": True}
        ) as response:
            text = await response.text()
    chunks = [json.loads(part.removeprefix("data: ")) for part in text.split("\n\n")[:-2]]
    assert chunks[-1]["usage"] == plain["usage"]
    said = "".join(c["delta"].get("content", "") for x in chunks for c in x["choices"])
    assert said == plain["choices"][0]["message"]["content"]
