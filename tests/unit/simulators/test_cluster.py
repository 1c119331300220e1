from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from agentcore.kit.jsonvalue import JsonObject
from agentcore.simulators.cluster import SimulatedCluster
from agentcore.simulators.models import Fault
from agentcore.simulators.server import serve_cluster
from tests.fakes.clock import ManualClock
from tests.unit.simulators.conftest import Configure, asleep

HELLO = {"messages": [{"role": "user", "content": "a private word"}]}


async def test_the_status_stream_gives_a_line_per_second_and_never_ends(
    configure: Configure, http: aiohttp.ClientSession
) -> None:
    clock = ManualClock()
    async with serve_cluster(configure(), clock=clock) as cluster:
        async with http.get(f"{cluster.base_url}/cluster/status") as response:
            assert response.content_type == "application/x-ndjson"
            for number in range(1, 4):
                line = json.loads(await response.content.readline())
                assert line["type"] == "cluster_status"
                await asleep(clock, number)
                clock.advance(1)
        assert set(clock.slept) == {1.0}


async def test_closing_does_not_wait_for_readers_of_the_status_stream(
    configure: Configure, http: aiohttp.ClientSession
) -> None:
    loop = asyncio.get_running_loop()
    async with serve_cluster(configure()) as cluster:
        response = await http.get(f"{cluster.base_url}/cluster/status")
        await response.content.readline()
        begun = loop.time()
    assert loop.time() - begun < 50
    response.close()


async def test_a_slow_status_is_slow_while_requests_are_not(
    configure: Configure, http: aiohttp.ClientSession
) -> None:
    clock = ManualClock()
    faults = (Fault(kind="slow_status", seconds=15),)
    async with serve_cluster(configure(faults=faults), clock=clock) as cluster:
        asked = asyncio.ensure_future(http.get(f"{cluster.base_url}/cluster/status_json"))
        await asleep(clock)
        async with http.post(f"{cluster.base_url}/v1/chat/completions", json=HELLO) as response:
            assert response.status == 200
        assert not asked.done()
        clock.advance(15)
        async with await asked as response:
            assert response.status == 200


async def test_faults_are_switched_at_run_time(
    configure: Configure, http: aiohttp.ClientSession
) -> None:
    async with serve_cluster(configure()) as cluster:
        url = f"{cluster.base_url}/simulator/faults"
        order = {"faults": [{"kind": "bad_gateway", "rate": 0.5, "times": 3}]}
        async with http.post(url, json=order) as response:
            assert response.status == 200
        assert cluster.faults.faults == (Fault(kind="bad_gateway", rate=0.5, times=3),)
        async with http.get(url) as response:
            (shown,) = (await response.json())["faults"]
            assert shown["kind"] == "bad_gateway"
        async with http.post(url, json={"faults": []}) as response:
            assert (await response.json()) == {"faults": []}


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b'{"faults": []}', "text/plain", 415),
        (b"{oops", "application/json", 422),
        (b'{"faults": [{"kind": "fire"}]}', "application/json", 422),
        (b"[]", "application/json", 422),
    ],
)
async def test_a_wrong_order_changes_nothing(
    body: bytes, content_type: str, status: int, configure: Configure, http: aiohttp.ClientSession
) -> None:
    faults = (Fault(kind="stall", seconds=0),)
    async with serve_cluster(configure(faults=faults)) as cluster:
        url = f"{cluster.base_url}/simulator/faults"
        async with http.post(url, data=body, headers={"content-type": content_type}) as response:
            assert response.status == status
        assert cluster.faults.faults == faults


class _Stranger:
    """A connection whose other end is elsewhere."""

    def __init__(self, application: web.Application, remote: str) -> None:
        self._application = application
        self._remote = remote

    async def status(self, method: str, path: str) -> int:
        request = make_mocked_request(method, path, app=self._application).clone(
            remote=self._remote
        )
        match = await self._application.router.resolve(request)
        response = await match.handler(request)
        assert isinstance(response, web.Response)
        return response.status


@pytest.mark.parametrize(
    ("remote", "status"),
    [
        ("127.0.0.1", 200),
        ("::1", 200),
        ("::ffff:127.0.0.1", 200),
        ("10.0.0.8", 403),
        ("2001:db8::1", 403),
        ("", 403),
    ],
)
async def test_control_is_for_this_machine_only(
    remote: str, status: int, configure: Configure
) -> None:
    stranger = _Stranger(SimulatedCluster(configure(), ManualClock()).application(), remote)
    assert await stranger.status("GET", "/simulator/requests") == status
    assert await stranger.status("GET", "/simulator/faults") == status


async def test_requests_are_counted_and_prompts_are_not_shown(
    configure: Configure, http: aiohttp.ClientSession
) -> None:
    async with serve_cluster(configure()) as cluster:
        async with http.post(f"{cluster.base_url}/v1/chat/completions", json=HELLO) as response:
            await response.read()
        async with http.get(f"{cluster.base_url}/simulator/requests") as response:
            text = await response.text()
    body = json.loads(text)
    assert body["arrived"] == 1
    assert body["outcomes"] == {"200": 1}
    assert (body["running"], body["waiting"]) == (0, 0)
    assert len(body["last"][0]["prompt_hash"]) == 32
    assert "private" not in text


async def test_what_arrives_is_recorded_even_when_it_is_refused(
    configure: Configure, http: aiohttp.ClientSession
) -> None:
    config = configure(record_prompts=True, faults=(Fault(kind="drop_connection"),))
    async with serve_cluster(config) as cluster:
        with pytest.raises(aiohttp.ClientError):
            await http.post(f"{cluster.base_url}/v1/chat/completions", json=HELLO)
        assert "a private word" in cluster.requests.prompts[0]


async def test_a_head_node_tells_its_load_truthfully_and_its_gauges_lie(
    configure: Configure, http: aiohttp.ClientSession
) -> None:
    config = configure(role="head", faults=(Fault(kind="stall", seconds=600),))
    async with serve_cluster(config) as cluster:
        url = f"{cluster.base_url}/v1/chat/completions"
        async with http.post(url, json={**HELLO, "stream": True}) as running:
            async with http.get(f"{cluster.base_url}/load") as response:
                assert await response.json() == {"server_load": 1}
            async with http.get(f"{cluster.base_url}/metrics") as response:
                text = await response.text()
            assert 'vllm:num_requests_running{model_name="simulated/playbook-7b"} 0.0' in text
            running.close()
        async with http.get(f"{cluster.base_url}/health") as response:
            assert response.status == 200
        async with http.get(f"{cluster.base_url}/version") as response:
            assert await response.json() == {"version": "simulated"}
        async with http.get(f"{cluster.base_url}/cluster/status_json") as response:
            assert response.status == 404


@pytest.mark.parametrize(
    ("faults", "status", "capacity"),
    [
        ((), "available", 8),
        ((Fault(kind="server_not_ready"),), "waiting", 0),
        ((Fault(kind="routing_not_ready"),), "available", 0),
        ((Fault(kind="server_not_ready", rate=0.5),), "available", 8),
        ((Fault(kind="server_not_ready", times=1),), "available", 8),
    ],
)
def test_the_status_follows_what_is_certain(
    faults: tuple[Fault, ...], status: str, capacity: int, configure: Configure
) -> None:
    cluster = SimulatedCluster(configure(faults=faults), ManualClock())
    data = cluster.status()["data"]
    assert isinstance(data, dict)
    expected: JsonObject = {"status": status, "max_running_request": capacity}
    assert data.items() >= expected.items()


async def test_the_simulators_own_health(configure: Configure, http: aiohttp.ClientSession) -> None:
    async with (
        serve_cluster(configure()) as cluster,
        http.get(f"{cluster.base_url}/simulator/health") as response,
    ):
        assert await response.json() == {"status": "healthy", "simulated": True}
