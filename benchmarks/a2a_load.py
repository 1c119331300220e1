"""The load of ``benchmarks.a2a``, a process of its own: ``-m benchmarks.a2a_load CORE ANSWER``.

Reads a :class:`Job` as JSON from its input and writes an :class:`Outcome` to the file ANSWER.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Literal, cast

import uvloop

from benchmarks.http1 import request
from benchmarks.load import Client, closed_loop
from benchmarks.processes import cpu_seconds, pin

# Stands in each message's id, and is replaced by another number each time.
PLACE = b"0" * 16
TICK = re.compile(rb'"text": ?"(\d{12,20})"')
# The agents of both servers do the same; theirs cannot import this.
AGENT = "measured"
TASK_ID = re.compile(rb'"id": ?"([0-9a-f-]{32,36})"')
CHUNKS = 400
TICK_SECONDS = 0.25
# Ticks before all had time to follow, and while the last were coming in, are not counted.
SETTLE_SECONDS = 1.0


@dataclass(frozen=True)
class Job:
    port: int
    pid: int
    mode: Literal["send", "chunks", "fan"]
    headers: dict[str, str] = field(default_factory=dict)
    connections: int = 1
    seconds: float = 1.0


@dataclass
class Outcome:
    """Seconds per round trip, per streamed task, or from an event's birth to a follower.

    ``cpu`` is the server's while that went on.
    """

    latencies: list[float]
    errors: int
    elapsed: float
    cpu: float


def body_of(method: str, text: str) -> bytes:
    message = {
        "messageId": PLACE.decode(),
        "role": "ROLE_USER",
        "parts": [{"text": text}],
        "metadata": {"agent_id": AGENT},
    }
    return calling(method, message=message)


def numbered(message: bytes) -> bytes:
    return message.replace(PLACE, b"%016d" % next(NUMBERS), 1)


def calling(method: str, **params: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()


# Another process must not send a message again: it would get the task of the first.
NUMBERS = count(time.time_ns() % 10**16 // 2)


class Sender(Client):
    """Each message is a new one, and its task has to be complete in the answer."""

    def ask(self) -> asyncio.Future[float]:
        self._raw, kept = numbered(self._raw), self._raw
        try:
            return super().ask()
        finally:
            self._raw = kept

    def message(self, head: bytes, body: bytes) -> None:
        if b"TASK_STATE_COMPLETED" not in body:
            self.errors += 1
        super().message(head, body)


class Stream(asyncio.Protocol):
    """Reads one stream of events; ``ticks`` are the delays of those that carry their birth."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._tail = b""
        self.text = b""
        self.chunks = 0
        self.first = asyncio.Event()
        self.ended = asyncio.Event()
        self.ticks: list[tuple[int, int]] = []
        self.keep = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._raw)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        self.ticks += [(int(born), now) for born in TICK.findall(data)]
        if self.keep:
            self.text += data
            if b'"result"' in self.text:
                self.first.set()
        self._tail = (self._tail + data[-8:])[-8:]
        if self._tail.endswith(b"0\r\n\r\n"):
            self.ended.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()


class Load:
    def __init__(self, job: Job) -> None:
        self._job = job
        self._headers = {"Content-Type": "application/json", "A2A-Version": "1.0", **job.headers}

    def request(self, body: bytes) -> bytes:
        return request("POST", "/a2a", f"127.0.0.1:{self._job.port}", body, self._headers)

    async def open(self, body: bytes) -> Stream:
        raw = self.request(body)
        loop = asyncio.get_running_loop()
        _, stream = await loop.create_connection(lambda: Stream(raw), "127.0.0.1", self._job.port)
        return stream

    async def send(self) -> Outcome:
        raw = self.request(body_of("SendMessage", "noop"))
        loop, job = asyncio.get_running_loop(), self._job
        clients: list[Client] = []
        for _ in range(job.connections):
            _, client = await loop.create_connection(lambda: Sender(raw), "127.0.0.1", job.port)
            clients.append(client)
        used, began = cpu_seconds(job.pid), time.perf_counter()
        end = began + job.seconds
        parts = await asyncio.gather(*(closed_loop(client, end) for client in clients))
        elapsed = time.perf_counter() - began
        errors = sum(client.errors for client in clients)
        latencies = [latency for part in parts for latency in part]
        return Outcome(latencies, errors, elapsed, cpu_seconds(job.pid) - used)

    async def chunks(self) -> Outcome:
        """One task after the other, each followed from its first message to its end."""
        used, began = cpu_seconds(self._job.pid), time.perf_counter()
        latencies, errors = [], 0
        while (start := time.perf_counter()) < began + self._job.seconds:
            stream = await self.open(numbered(body_of("SendStreamingMessage", "chunks")))
            await stream.ended.wait()
            latencies.append(time.perf_counter() - start)
            whole = stream.text.count(b'"artifactUpdate"') == CHUNKS
            errors += not (whole and b"TASK_STATE_COMPLETED" in stream.text)
            stream.transport.close()
        elapsed = time.perf_counter() - began
        # What the server does behind its last event is its work, too.
        await asyncio.sleep(0.2)
        return Outcome(latencies, errors, elapsed, cpu_seconds(self._job.pid) - used)

    async def fan(self) -> Outcome:
        """``connections`` followers of one task, whose agent tells the time."""
        job = self._job
        speaker = await self.open(numbered(body_of("SendStreamingMessage", "clock")))
        await speaker.first.wait()
        found = TASK_ID.search(speaker.text)
        task_id = found[1].decode() if found else ""
        follow = calling("SubscribeToTask", id=task_id)
        followers = [speaker, *[await self.open(follow) for _ in range(job.connections - 1)]]
        await asyncio.gather(*(follower.first.wait() for follower in followers))
        for follower in followers:
            follower.keep = False
        await asyncio.sleep(SETTLE_SECONDS)
        since, used, began = time.monotonic_ns(), cpu_seconds(job.pid), time.perf_counter()
        await asyncio.sleep(job.seconds)
        until = time.monotonic_ns()
        elapsed, used = time.perf_counter() - began, cpu_seconds(job.pid) - used
        await asyncio.sleep(SETTLE_SECONDS)
        heard = [
            [(now - born) / 1e9 for born, now in each.ticks if since < born < until]
            for each in followers
        ]
        errors = sum(len(each) != len(heard[0]) for each in heard)
        await self.open(calling("CancelTask", id=task_id))
        await asyncio.wait_for(speaker.ended.wait(), 30)
        for follower in followers:
            follower.transport.close()
        return Outcome([delay for each in heard for delay in each], errors, elapsed, used)


async def run(job: Job) -> Outcome:
    outcome: Outcome = await getattr(Load(job), job.mode)()
    return outcome


if __name__ == "__main__":
    pin(int(sys.argv[1]))
    answered = uvloop.run(run(Job(**json.load(sys.stdin))))
    Path(sys.argv[2]).write_text(json.dumps(asdict(answered)))
