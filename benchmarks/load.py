"""The load generator, a process of its own: ``python -m benchmarks.load CORE ANSWER``.

Reads a :class:`Job` as JSON from its input and writes an :class:`Outcome` to the file ANSWER.

Closed loop: each connection asks again when it was answered. Open loop: requests begin at moments
of a Poisson process and latency counts from that moment, however busy the target is.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import uvloop

from benchmarks.http1 import Messages, length_of, request
from benchmarks.processes import pin

SEED = 20260101
SENT = re.compile(rb'"content": ?"(\d{16})"')


@dataclass(frozen=True)
class Job:
    port: int
    path: str
    body: str
    headers: dict[str, str] = field(default_factory=dict)
    # ``{n}`` in the path is the number of the connection.
    method: str = "POST"
    mode: Literal["closed", "open", "stream"] = "closed"
    connections: int = 1
    seconds: float = 1.0
    rate: float = 100.0


@dataclass
class Outcome:
    """Seconds per request: to the whole answer, in a stream to its first content.

    ``delays`` of a stream's later events: from the upstream's write until they are here.
    """

    latencies: list[float]
    errors: int
    elapsed: float
    delays: list[float] = field(default_factory=list)


class Client(Messages):
    """One connection; ``ask`` resolves with the moment of the answer."""

    def __init__(self, raw: bytes) -> None:
        super().__init__()
        self._raw = raw
        self._answered: asyncio.Future[float] | None = None
        self.errors = 0

    def ask(self) -> asyncio.Future[float]:
        self._answered = asyncio.get_running_loop().create_future()
        self.transport.write(self._raw)
        return self._answered

    def message(self, head: bytes, body: bytes) -> None:
        if not head.startswith(b"HTTP/1.1 200"):
            self.errors += 1
        self._resolve()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self.errors += 1
            self._answered.cancel()

    def _resolve(self) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(time.perf_counter())


class StreamClient(Client):
    """Resolves at the first content; ``ended`` is set with the last chunk."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        self.ended = asyncio.Event()
        self.delays: list[float] = []
        self._tail = b""

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"HTTP/1.1") and not data.startswith(b"HTTP/1.1 200"):
            self.errors += 1
            if length_of(data.partition(b"\r\n\r\n")[0]):
                self._resolve()
                self.ended.set()
                return
        if b'"content"' in data:
            self._resolve()
            now = time.monotonic_ns()
            self.delays += [(now - int(sent)) / 1e9 for sent in SENT.findall(data)]
        self._tail = (self._tail + data)[-16:]
        if self._tail.endswith(b"0\r\n\r\n"):
            self.ended.set()


async def run(job: Job) -> Outcome:
    # Without it Portkey reads nothing of the body, and does much less.
    headers = {"Content-Type": "application/json", **job.headers}
    loop = asyncio.get_running_loop()
    kind = StreamClient if job.mode == "stream" else Client
    clients = []
    for number in range(job.connections):
        path = job.path.replace("{n}", str(number))
        raw = request(job.method, path, f"127.0.0.1:{job.port}", job.body.encode(), headers)
        _, client = await loop.create_connection(partial(kind, raw), "127.0.0.1", job.port)
        clients.append(client)
    began = time.perf_counter()
    end = began + job.seconds
    if job.mode == "open":
        latencies = await _open_loop(clients, job, began)
    else:
        parts = await asyncio.gather(*(closed_loop(client, end) for client in clients))
        latencies = [latency for part in parts for latency in part]
    elapsed = time.perf_counter() - began
    for client in clients:
        client.transport.close()
    delays = [delay for each in clients if isinstance(each, StreamClient) for delay in each.delays]
    return Outcome(latencies, sum(client.errors for client in clients), elapsed, delays)


async def closed_loop(client: Client, end: float) -> list[float]:
    latencies: list[float] = []
    while (began := time.perf_counter()) < end:
        if isinstance(client, StreamClient):
            client.ended.clear()
        latencies.append(await client.ask() - began)
        if isinstance(client, StreamClient):
            await client.ended.wait()
    return latencies


async def _open_loop(clients: list[Client], job: Job, began: float) -> list[float]:
    chance = random.Random(SEED)
    free = deque(clients)
    released = asyncio.Event()
    latencies: list[float] = []

    async def one(due: float) -> None:
        while not free:
            released.clear()
            await released.wait()
        client = free.popleft()
        latencies.append(await client.ask() - due)
        free.append(client)
        released.set()

    async with asyncio.TaskGroup() as group:
        due = began
        while due < began + job.seconds:
            due += chance.expovariate(job.rate)
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(one(due))
    return latencies


if __name__ == "__main__":
    pin(int(sys.argv[1]))
    outcome = uvloop.run(run(Job(**json.load(sys.stdin))))
    Path(sys.argv[2]).write_text(json.dumps(asdict(outcome)))
