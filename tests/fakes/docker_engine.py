"""A Docker engine as far as deploying needs one: its API on a unix socket, and real processes.

An image ``registry.local/BEHAVIOUR:TAG`` runs ``environment_program`` with that behaviour, which
listens on the published port itself. The engine restarts what ends, as the restart policy asks.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.fakes import environment_program

Object = dict[str, Any]
RESTART_SECONDS = 0.02


@dataclass
class FakeContainer:
    id: str
    name: str
    body: Object
    process: asyncio.subprocess.Process | None = None
    output: bytes = b""
    restarts: int = 0
    started: bool = False
    stopped: bool = False
    signals: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        [[binding]] = self.body["HostConfig"]["PortBindings"].values()
        assert binding["HostIp"] == "127.0.0.1"
        return int(binding["HostPort"])

    @property
    def status(self) -> str:
        if self.process is not None and self.process.returncode is None:
            return "running"
        if not self.started:
            return "created"
        return "exited" if self.stopped else "restarting"


class DockerEngineFake:
    """``known`` images need no pull; ``missing`` ones cannot be pulled."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.containers: dict[str, FakeContainer] = {}
        self.known: set[str] = set()
        self.missing: set[str] = set()
        self.failing = ""
        self.requests: list[str] = []
        self._tasks = tasks
        self._numbers = itertools.count(1)

    def routes(self) -> web.Application:
        app = web.Application(middlewares=[self._watching])
        app.router.add_get("/containers/json", self._list)
        app.router.add_post("/containers/create", self._create)
        app.router.add_get("/containers/{id}/json", self._inspect)
        app.router.add_get("/containers/{id}/logs", self._logs)
        app.router.add_get("/containers/{id}/stats", self._stats)
        app.router.add_post("/containers/{id}/start", self._start)
        app.router.add_post("/containers/{id}/stop", self._stop)
        app.router.add_delete("/containers/{id}", self._remove)
        app.router.add_post("/images/create", self._pull)
        app.router.add_get("/images/{name:.+}/json", self._image)
        return app

    @web.middleware
    async def _watching(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path}")
        if self.failing:
            return _message(500, self.failing)
        if "id" in request.match_info and request.match_info["id"] not in self.containers:
            return _message(404, f"No such container: {request.match_info['id']}")
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _list(self, request: web.Request) -> web.Response:
        labels = json.loads(request.query["filters"])["label"]
        found = [
            {"Id": each.id, "Labels": each.body["Labels"], "State": each.status}
            for each in self.containers.values()
            if set(labels) <= {f"{k}={v}" for k, v in each.body["Labels"].items()}
        ]
        return web.json_response(found)

    async def _create(self, request: web.Request) -> web.Response:
        body, name = await request.json(), request.query["name"]
        if body["Image"] not in self.known:
            return _message(404, f"No such image: {body['Image']}")
        if any(each.name == name for each in self.containers.values()):
            return _message(409, f'Conflict. The container name "/{name}" is already in use')
        made = FakeContainer(f"{next(self._numbers):064x}", name, body)
        self.containers[made.id] = made
        return web.json_response({"Id": made.id, "Warnings": []}, status=201)

    async def _inspect(self, request: web.Request) -> web.Response:
        each = self._of(request)
        pid = each.process.pid if each.process is not None else 0
        state = {"Status": each.status, "Pid": pid}
        body = {
            "Id": each.id,
            "RestartCount": each.restarts,
            "State": state,
            "Config": {"Labels": each.body["Labels"]},
            "HostConfig": each.body["HostConfig"],
        }
        return web.json_response(body)

    async def _start(self, request: web.Request) -> web.Response:
        each = self._of(request)
        each.started = True
        self._tasks.create_task(self._run(each))
        return web.Response(status=204)

    async def _run(self, each: FakeContainer) -> None:
        behaviour = each.body["Image"].rpartition("/")[2].partition(":")[0]
        while not each.stopped:
            each.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", environment_program.__file__),
                *(behaviour, str(each.port)),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            output, _ = await each.process.communicate()
            each.output += output
            if not each.stopped:
                each.restarts += 1
                await asyncio.sleep(RESTART_SECONDS)

    async def _stop(self, request: web.Request) -> web.Response:
        await self._end(self._of(request), signal.SIGTERM)
        return web.Response(status=204)

    async def _remove(self, request: web.Request) -> web.Response:
        each = self._of(request)
        await self._end(each, signal.SIGKILL)
        self.containers.pop(each.id, None)
        return web.Response(status=204)

    async def _end(self, each: FakeContainer, number: signal.Signals) -> None:
        each.stopped = True
        each.signals.append(number.name)
        if each.process is not None and each.process.returncode is None:
            with suppress(ProcessLookupError):
                each.process.send_signal(number)
            await each.process.wait()

    async def _logs(self, request: web.Request) -> web.Response:
        lines = self._of(request).output.splitlines(keepends=True)
        chosen = lines[-int(request.query["tail"]) :]
        framed = b"".join(b"\1\0\0\0" + len(line).to_bytes(4, "big") + line for line in chosen)
        return web.Response(body=framed)

    async def _stats(self, request: web.Request) -> web.Response:
        body = {
            "cpu_stats": {
                "cpu_usage": {"total_usage": 2_500_000_000},
                "system_cpu_usage": 20_000_000_000,
                "online_cpus": 2,
            },
            "precpu_stats": {
                "cpu_usage": {"total_usage": 2_000_000_000},
                "system_cpu_usage": 18_000_000_000,
            },
            "memory_stats": {"usage": 80_000_000, "stats": {"inactive_file": 20_000_000}},
        }
        return web.json_response(body)

    async def _image(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name in self.known:
            return web.json_response({"Id": name})
        return _message(404, f"No such image: {name}")

    async def _pull(self, request: web.Request) -> web.Response:
        image = request.query["fromImage"]
        if image in self.missing:
            return _message(404, f"pull access denied for {image}, repository does not exist")
        events: list[Object] = [
            {"status": "Pulling from registry", "id": "1.0.0"},
            {"status": "Downloading", "id": "a1b2", "progress": "[==>  ] 1MB/4MB"},
        ]
        if "broken" in image:
            events.append({"error": "unexpected EOF", "errorDetail": {"message": "EOF"}})
        else:
            self.known.add(image)
        return web.Response(text="\n".join(map(json.dumps, events)))

    def _of(self, request: web.Request) -> FakeContainer:
        return self.containers[request.match_info["id"]]

    async def close(self) -> None:
        for each in self.containers.values():
            await self._end(each, signal.SIGKILL)


@asynccontextmanager
async def docker_engine(path: Path) -> AsyncIterator[DockerEngineFake]:
    """Listens on the socket ``path``."""
    async with asyncio.TaskGroup() as tasks:
        engine = DockerEngineFake(tasks)
        runner = web.AppRunner(engine.routes(), shutdown_timeout=0.1)
        await runner.setup()
        await web.UnixSite(runner, str(path)).start()
        try:
            yield engine
        finally:
            await engine.close()
            await runner.cleanup()


def _message(status: int, text: str) -> web.Response:
    return web.json_response({"message": text}, status=status)
