"""``agentcore env serve``: one environment by itself."""

from __future__ import annotations

import json
import signal
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from agentcore.settings import load_settings, token_authority
from agentcore.training.openenv.client import Action, OpenEnvClient
from agentcore.training.openenv.environments.examples import guess_number
from tests.fakes.deployment import agentcore
from tests.fakes.env_process import env_server

HOUR = timedelta(hours=1)
# 0.4 of what a server of upstream's takes (facts: 165 MB).
MOST_MEGABYTES = 66


def resident_megabytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1000


async def test_it_is_small_plays_and_stops_cleanly(tmp_path: Path) -> None:
    # Signed tokens, the default: nothing heavy may be loaded to verify them.
    with env_server(tmp_path, "guess_number") as server:
        token = token_authority(load_settings(environ={"AGENTCORE_HOME": str(tmp_path)})).issue(
            subject="ann", tenant="t", scopes=["env:control", "env:act", "metrics"], lifetime=HOUR
        )
        async with OpenEnvClient(server.url, token=token) as env:
            await env.reset(seed=1)
            await env.step(Action(type="guess", parameters={"number": 1}))
            told = httpx2.get(f"{server.url}/metrics", headers={"authorization": f"Bearer {token}"})
        labels = '{environment="guess_number",side="server"}'
        assert f"openenv_step_duration_seconds_count{labels} 1.0" in told.text
        assert f"openenv_sessions{labels} 1.0" in told.text
        if Path("/proc/self/status").exists():
            assert resident_megabytes(server.process.pid) < MOST_MEGABYTES
        server.process.send_signal(signal.SIGTERM)
        log = server.rest_of_log()
        assert server.process.returncode == 0, log
        assert "Traceback" not in log


GUESS = {"type": "guess", "parameters": {"number": 1}}
SLOW = """
import time
from agentcore.training.openenv.environments.base import Step
from agentcore.training.openenv.environments.examples.guess_number import Guess, GuessNumber

class Slow(GuessNumber):
    name, threaded = "slow", True

    def act(self, action: Guess) -> Step:
        print("computing", flush=True)
        time.sleep(0.3)
        return super().act(action)
"""


async def test_sigterm_finishes_the_step_tells_the_session_and_exits_with_0(
    tmp_path: Path,
) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    tokens = ("--token", "boss", "--agent-token", "player")
    with env_server(tmp_path, "slow:Slow", *tokens) as server:
        address = server.url.replace("http", "ws") + "/ws"
        boss = {"authorization": "Bearer boss"}
        async with connect(address, proxy=None, additional_headers=boss) as socket:

            async def ask(kind: str, data: dict[str, Any]) -> dict[str, Any]:
                await socket.send(json.dumps({"type": kind, "data": data}))
                answer: dict[str, Any] = json.loads(await socket.recv())
                return answer

            await ask("reset", {"seed": 1})
            await socket.send(json.dumps({"type": "step", "data": GUESS}))
            assert server.process.stdout is not None
            server.process.stdout.readline()
            server.process.send_signal(signal.SIGTERM)
            assert json.loads(await socket.recv())["type"] == "observation"
            assert json.loads(await socket.recv())["data"]["code"] == "SESSION_ERROR"
            with pytest.raises(ConnectionClosed):
                await socket.recv()
            assert socket.close_code == 1001
        log = server.rest_of_log()
        assert server.process.returncode == 0, log
        assert [entry for entry in log.splitlines() if '"level":"error"' in entry] == []


STUCK = SLOW.replace("time.sleep(0.3)", "time.sleep(1000)")


async def test_a_step_that_never_ends_holds_up_no_stop(tmp_path: Path) -> None:
    (tmp_path / "stuck.py").write_text(STUCK)
    with env_server(tmp_path, "stuck:Slow", "--no-auth", "--max-sessions", "1") as server:
        address = server.url.replace("http", "ws") + "/ws"
        async with connect(address, proxy=None) as socket:
            for frame in ({"type": "reset", "data": {}}, {"type": "step", "data": GUESS}):
                await socket.send(json.dumps(frame))
            assert server.process.stdout is not None
            server.process.stdout.readline()
            socket.transport.abort()
        labels = '{environment="slow",side="server"}'
        async with httpx2.AsyncClient(base_url=server.url) as http:
            while f"openenv_cut_calls_running{labels} 1.0" not in (await http.get("/metrics")).text:
                pass
            assert (await http.get("/ready")).json()["active"] == 1
        server.process.send_signal(signal.SIGTERM)
        log = server.rest_of_log()
        assert server.process.returncode == 0, log
        assert "a call that was cut computes on" in log


async def test_an_environment_of_ones_own_listens_to_openenvs_variables(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(Path(guess_number.__file__).read_text())
    with env_server(
        tmp_path,
        ".:GuessNumber",
        "--no-auth",
        OPENENV_MODE="production",
        OPENENV_MAX_STEPS_PER_EPISODE="2",
        LOG_LEVEL="INFO",
    ) as server:
        async with httpx2.AsyncClient(base_url=server.url) as http:
            info = (await http.get("/info")).json()
            assert (info["name"], info["mode"]) == ("guess_number", "production")
            assert info["max_episode_steps"] == 2
            assert (await http.post("/reset", json={})).status_code == 404


def test_what_cannot_be_served_is_one_line_and_exit_2(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refusals = [
            (("guess_number", "--port", port), "cannot listen on 127.0.0.1:"),
            (("nope",), "there is no environment 'nope'"),
            (("guess_number", "--no-auth", "--host", "0.0.0.0"), "authentication is off"),
        ]
        for arguments, message in refusals:
            ended = agentcore("env", "serve", *arguments, home=tmp_path)
            assert ended.returncode == 2, ended.stderr
            said, hint = ended.stderr.splitlines()
            assert said.startswith(f"agentcore: {message}")
            assert "hint:" in hint


@pytest.mark.parametrize("given", ["OPENENV_MAX_STEPS_PER_EPISODE", "OPENENV_MODE"])
def test_a_variable_that_says_nothing_is_named(given: str, tmp_path: Path) -> None:
    ended = agentcore("env", "serve", "guess_number", home=tmp_path, env={given: "some"})
    assert ended.returncode == 2
    assert "setting training.server.m" in ended.stderr
