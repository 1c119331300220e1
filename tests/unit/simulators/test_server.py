from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import sys

import aiohttp
import pytest

from agentcore.simulators.errors import ClusterAddressUnavailable
from agentcore.simulators.models import SIMULATED_HEADER, Fault
from agentcore.simulators.server import serve_cluster
from tests.unit.simulators.conftest import Configure

RUN = """
from agentcore.simulators.models import ClusterConfig
from agentcore.simulators.server import run_cluster
run_cluster(ClusterConfig(port=0), lambda line: print(line, flush=True))
"""


async def test_it_says_that_it_simulates(configure: Configure, http: aiohttp.ClientSession) -> None:
    async with serve_cluster(configure()) as cluster:
        assert cluster.banner.startswith("Simulated Parallax scheduler on http://127.0.0.1:")
        assert "\n" not in cluster.banner
        body = {"messages": [{"role": "user", "content": "hello"}]}
        async with http.post(f"{cluster.base_url}/v1/chat/completions", json=body) as response:
            assert response.headers[SIMULATED_HEADER] == "1"
            answer = await response.json()
    assert answer["system_fingerprint"] == "agentcore-simulator"
    assert answer["model"].startswith("simulated/")


async def test_a_port_in_use_is_one_clear_line(configure: Configure) -> None:
    async with serve_cluster(configure()) as first:
        port = int(first.base_url.rpartition(":")[2])
        with pytest.raises(ClusterAddressUnavailable, match=str(port)) as caught:
            async with serve_cluster(configure(port=port)):
                pass
    assert caught.value.detail.endswith(f"127.0.0.1:{port}: Address already in use")
    assert "--port" in caught.value.hint


async def test_a_foreign_address_is_one_clear_line(configure: Configure) -> None:
    with pytest.raises(ClusterAddressUnavailable, match=r"192\.0\.2\.1"):
        async with serve_cluster(configure(host="192.0.2.1")):
            pass


async def test_an_address_of_version_six_is_a_url(configure: Configure) -> None:
    try:
        async with serve_cluster(configure(host="::1")) as cluster:
            assert cluster.base_url.startswith("http://[::1]:")
    except ClusterAddressUnavailable:
        pytest.skip("no IPv6 on this machine")


async def test_faults_come_and_go_by_code(configure: Configure) -> None:
    async with serve_cluster(configure()) as cluster:
        cluster.fail(Fault(kind="stall"))
        assert [fault.kind for fault in cluster.faults.faults] == ["stall"]
        cluster.fail()
        assert cluster.faults.faults == ()


async def test_large_prompts_fit_and_larger_ones_are_refused(
    configure: Configure, http: aiohttp.ClientSession
) -> None:
    async with serve_cluster(configure(context_tokens=10**9)) as cluster:
        url = f"{cluster.base_url}/v1/chat/completions"
        for size, status in ((3 << 20, 200), (17 << 20, 413)):
            body = json.dumps({"messages": [{"role": "user", "content": "x" * size}]})
            async with http.post(url, data=io.BytesIO(body.encode())) as response:
                assert response.status == status


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_process_of_its_own_stops_when_told(number: signal.Signals) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        RUN,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert process.stdout is not None
    banner = await asyncio.wait_for(process.stdout.readline(), 30)
    assert banner.startswith(b"Simulated Parallax scheduler on http://127.0.0.1:")
    process.send_signal(number)
    _, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    assert errors == b""
