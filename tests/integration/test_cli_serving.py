"""Starting, stopping, killing and starving the service."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx2
import pytest
from aiohttp import web
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.fakes.deployment import (
    Deployment,
    agentcore,
    deployed,
    processes_of,
    providers,
    short_home,
    wait_until,
)
from tests.fakes.llm_upstream import Upstream, llm_upstream, says
from tests.fakes.ports import free_port

TRACE = {"agent_id": "worker", "execution_time": 1.5, "success": True, "output_quality": 0.5}


async def test_sigterm_finishes_what_runs_and_leaves_nothing() -> None:
    go, loop = asyncio.Event(), asyncio.get_running_loop()

    async def answer(request: web.Request) -> web.StreamResponse:
        await go.wait()
        return await says("Done.")(request)

    async with llm_upstream() as upstream:
        upstream.behaviour = answer
        release = partial(loop.call_soon_threadsafe, go.set)
        await asyncio.to_thread(sigterm_amid_work, upstream, release)


def sigterm_amid_work(upstream: Upstream, release: Callable[[], object]) -> None:
    with (
        deployed(
            AGENTCORE_LLM_GATEWAY__PROVIDERS=providers(api=upstream.url),
            AGENTCORE_SERVER__DRAIN_SECONDS="100",
        ) as running,
        running.client("llm", "a2a", "env:act", "env:control") as http,
        ExitStack() as whatever_happens,
    ):
        whatever_happens.callback(release)
        open_session = {"environment": "guess_number", "session_id": "s", "seed": 7}
        rpc = {"jsonrpc": "2.0", "id": 1, "method": "environment.open", "params": open_session}
        assert "result" in http.post("/a2a", json=rpc).json()
        events: list[str] = []

        def watch() -> None:
            path = "/internal/environments/sessions/s/events?after=0"
            with http.stream("GET", path) as response:
                events.extend(line for line in response.iter_lines() if line.startswith("data"))

        answers: list[httpx2.Response] = []
        ask = {"model": "playbook-7b", "messages": [{"role": "user", "content": "hello"}]}

        def complete(stream: bool) -> None:
            answers.append(http.post("/v1/chat/completions", json={**ask, "stream": stream}))

        watching = threading.Thread(target=watch)
        threads = [threading.Thread(target=complete, args=(stream,)) for stream in (False, True)]
        threads.append(watching)
        for thread in threads:
            thread.start()
        wait_until(lambda: upstream.in_flight == 2, "both requests run")
        assert running.process is not None
        running.process.send_signal(signal.SIGTERM)
        watching.join(60)
        assert not watching.is_alive(), "who only watches is sent away before the work is done"
        assert answers == []
        wait_until(lambda: refuses(http), "new requests are refused")
        assert running.process.poll() is None
        release()
        for thread in threads:
            thread.join()
        assert len(events) == 1
        assert [answer.status_code for answer in answers] == [200, 200]
        assert any(answer.text.endswith("data: [DONE]\n\n") for answer in answers)
        assert running.process.wait(60) == 0
        wait_until(lambda: not processes_of(running.home), "no process is left")


def refuses(http: httpx2.Client) -> bool:
    """Over a connection that is open already; a new one finds nobody listening."""
    try:
        return http.get("/v1/models").status_code == 503
    except httpx2.ConnectError:
        return True


def test_no_acknowledged_write_is_lost_by_a_kill() -> None:
    with deployed() as running:
        acknowledged: list[str] = []
        with running.client("admin") as http:
            context = {"agent_id": "worker", "initial_context": {"goals": ["live"]}}
            assert http.post("/internal/context/playbooks", json=context).status_code == 201
            stop = threading.Event()
            writer = threading.Thread(target=write, args=(http, acknowledged, stop))
            writer.start()
            wait_until(lambda: len(acknowledged) > 50, "some writes are acknowledged")
            running.kill()
            stop.set()
            writer.join()
        running.start()
        with running.client("admin") as http:
            status = http.get("/internal/context/evolution/status/worker").json()
        # One write may have been stored without its answer getting through.
        assert 0 <= status["pending_traces"] - len(acknowledged) <= 1
        assert len(set(acknowledged)) == len(acknowledged)


def write(http: httpx2.Client, acknowledged: list[str], stop: threading.Event) -> None:
    for number in range(10_000):
        if stop.is_set():
            return
        trace = {**TRACE, "task_id": f"task-{number}"}
        try:
            answer = http.post("/internal/context/traces", json=trace)
        except httpx2.TransportError:
            return
        if answer.status_code == 201:
            acknowledged.append(answer.json()["trace_id"])


def test_two_services_share_one_home() -> None:
    """From a first start on nothing."""
    with short_home() as home:
        first, second = Deployment(home), Deployment(home)
        first.start()
        second.start()
        with first.client("admin") as one, second.client("admin") as two:
            playbooks = "/internal/context/playbooks"
            made = {"agent_id": "shared", "initial_context": {"goals": ["a"]}}
            assert one.post(playbooks, json=made).status_code == 201
            assert two.get(f"{playbooks}/shared").json()["version"] == 1
            change = {"delta_id": "d1", "changes": {"goals": ["a", "b"]}, "confidence": 0.9}
            assert two.patch(f"{playbooks}/shared", json=change).json()["applied"] is True

            def seen() -> bool:
                version: int = one.get(f"{playbooks}/shared").json()["version"]
                return version == 2

            wait_until(seen, "the other service sees the write")
        first.kill()
        with second.client("admin") as two:
            assert two.get("/internal/context/playbooks/shared").json()["version"] == 2
        assert second.stop() == 0


def test_dead_embedded_servers_are_replaced_under_the_service() -> None:
    with deployed() as running, running.client("admin") as http:
        playbook = {"agent_id": "kept", "initial_context": {"goals": ["stay"]}}
        assert http.post("/internal/context/playbooks", json=playbook).status_code == 201
        for name in ("valkey", "postgres"):
            for pid in processes_of(running.home):
                if name in Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[0]:
                    os.kill(pid, signal.SIGKILL)
            wait_until(lambda: all_good(running), f"{name} is back")
        assert http.get("/internal/context/playbooks/kept").json()["version"] == 1


def all_good(running: Deployment) -> bool:
    checks = httpx2.get(f"{running.url}/health/ready", timeout=60).json()["checks"]
    return all(check["ok"] and not check["degraded"] for check in checks.values())


@pytest.fixture
def refused_home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def test_a_port_in_use_is_one_line(refused_home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = agentcore("serve", "--port", str(port), home=refused_home)
    assert ended.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"AGENTCORE_SERVER__PROT": "1"}, "unknown setting server.prot"),
        ({"AGENTCORE_DATABASE_URL": "postgresql://u:p@127.0.0.1:1/x"}, "cannot be reached"),
        ({"AGENTCORE_DATABASE_URL": "sqlite:///x"}, "names 'sqlite'"),
        ({"AGENTCORE_HOME": "/proc/nowhere"}, "/proc/nowhere"),
        ({"AGENTCORE_HOME": "/etc/passwd"}, "/etc/passwd"),
        ({"AGENTCORE_SECURITY__JWT_SECRET": "short"}, "the JWT secret has 5 characters"),
    ],
)
def test_what_cannot_start_says_why_in_one_line(
    refused_home: Path, settings: dict[str, str], message: str
) -> None:
    more = {name: value for name, value in settings.items() if name != "AGENTCORE_HOME"}
    home = Path(settings.get("AGENTCORE_HOME", refused_home))
    ended = agentcore("serve", "--port", str(free_port()), home=home, env=more)
    assert ended.returncode == 2, ended.stderr
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout
    told = [line for line in ended.stderr.splitlines() if line.startswith("agentcore: ")]
    assert len(told) == 1


def test_an_unreachable_redis_refuses_the_start_unless_told_otherwise() -> None:
    nowhere = {"AGENTCORE_REDIS_URL": "redis://127.0.0.1:1/0"}
    with short_home() as home:
        ended = agentcore("serve", "--port", str(free_port()), home=home, env=nowhere)
        assert ended.returncode == 2
        assert "Redis cannot be reached" in ended.stderr
    with deployed(**nowhere, AGENTCORE_CACHE__REQUIRED="false") as running:
        checks = httpx2.get(f"{running.url}/health/ready").json()["checks"]
        assert checks["cache"]["degraded"] is True


async def test_a_foreign_database_is_migrated_by_command_only(own_database_url: str) -> None:
    await asyncio.to_thread(migrate_by_command, own_database_url)


def migrate_by_command(database_url: str) -> None:
    settings = {"AGENTCORE_DATABASE_URL": database_url.replace("+asyncpg", "")}
    with short_home() as home:
        taken_back = agentcore("db", "downgrade", "0001", home=home, env=settings)
        assert taken_back.returncode == 0, taken_back.stderr
        ended = agentcore("serve", "--port", str(free_port()), home=home, env=settings)
        assert ended.returncode == 2
        assert "agentcore db upgrade" in ended.stderr
        raised = agentcore("db", "upgrade", home=home, env=settings)
        assert "0001 -> " in raised.stdout
        checked = agentcore("db", "check", home=home, env=settings)
        assert "schema and code agree" in checked.stdout
    with deployed(**settings) as running:
        wait_until(lambda: all_good(running), "the embedded cache is connected")


ROUTES = [
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/.well-known/agent-card.json"),
    ("GET", "/internal/environments"),
    ("GET", "/internal/environments/guess_number/health"),
    ("POST", "/a2a"),
    ("GET", "/v1/models"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/envs/guess_number/reset"),
    ("GET", "/nothing"),
]


async def test_without_auth_everybody_on_this_machine_may_call_and_no_foreign_page() -> None:
    page = "https://console.example"
    with deployed(
        AGENTCORE_SECURITY__AUTH="false",
        AGENTCORE_TRAINING__SERVER__ALLOWED_ORIGINS=f'["{page}"]',
    ) as running:
        card = httpx2.get(f"{running.url}/.well-known/agent-card.json").json()
        assert not card.get("securitySchemes")
        bound_anew = {"host": "evil.example"}
        for method, path in ROUTES:
            answer = httpx2.request(method, f"{running.url}{path}", json={})
            assert answer.status_code not in {401, 403}, path
            answer = httpx2.request(method, f"{running.url}{path}", json={}, headers=bound_anew)
            assert answer.status_code == 403, path
            assert "this server is not 'evil.example'" in answer.text
        probe = httpx2.get(f"{running.url}/health/ready", headers=bound_anew)
        assert probe.status_code == 200
        foreign = {"origin": "https://evil.example", "content-type": "text/plain"}
        answer = httpx2.post(f"{running.url}/a2a", content="{}", headers=foreign)
        assert answer.status_code == 403
        assert answer.json()["error"]["data"]["code"] == "forbidden"
        await sockets_are_opened_by_own_pages(running, page)


async def sockets_are_opened_by_own_pages(running: Deployment, allowed: str) -> None:
    env = "/envs/guess_number/ws"
    watching = "/internal/environments/sessions/nobodys/ws"
    for path, origin, status in (
        (env, None, 101),
        (env, running.url, 101),
        (env, allowed, 101),
        (env, "https://evil.example", 403),
        (watching, running.url, 404),
        (watching, allowed, 403),
        (watching, "https://evil.example", 403),
    ):
        address = f"{running.url}{path}".replace("http", "ws", 1)
        headers = {} if origin is None else {"origin": origin}
        assert await handshake(address, headers) == status, (path, origin)


async def handshake(address: str, headers: dict[str, str]) -> int:
    """The status of the answer."""
    try:
        async with connect(address, proxy=None, additional_headers=headers):
            return 101
    except InvalidStatus as error:
        return error.response.status_code
