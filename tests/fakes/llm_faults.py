"""An upstream of raw bytes for what no web server does: it breaks off, drips, lies about lengths.

A ``Script`` is what it answers to each request, step by step.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Literal

from tests.fakes.llm_apis import Heard, heard
from tests.fakes.llm_speech import Speech

Step = bytes | Literal["pause", "stall", "reset", "close"]
Script = Sequence[Step]
# Long enough for what was sent before it to arrive alone.
PAUSE_SECONDS = 0.01
LINGER_NOT = struct.pack("ii", 1, 0)


class RawUpstream:
    """``asked`` counts the requests that were read, by model; ``script`` gives their answers."""

    def __init__(self, script: Callable[[Heard], Script]) -> None:
        self.url = ""
        self.asked: Counter[str] = Counter()
        self._writers: set[asyncio.StreamWriter] = set()
        self._script = script

    @property
    def open(self) -> int:
        """Connections that are."""
        return len(self._writers)

    async def hang_up(self) -> None:
        for each in self._writers:
            each.transport.abort()
        while self._writers:
            await asyncio.sleep(0)

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while await self._serve(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lines = head.split("\r\n")
        length = next(line for line in lines if line.lower().startswith("content-length:"))
        raw = await reader.readexactly(int(length.split(":")[1]))
        asked = heard(lines[0].split(" ")[1], json.loads(raw))
        self.asked[asked.model] += 1
        for step in self._script(asked):
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            elif step == "pause":
                await asyncio.sleep(PAUSE_SECONDS)
            elif step == "stall":
                await reader.read()
                return False
            else:
                if step == "reset" and not writer.is_closing():
                    # Closed with nothing to linger for, a socket says RST.
                    ours: socket.socket = writer.get_extra_info("socket")
                    ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
                return False
        return True


@asynccontextmanager
async def raw_upstream(
    script: Callable[[Heard], Script],
) -> AsyncIterator[RawUpstream]:
    upstream = RawUpstream(script)
    server = await asyncio.start_server(upstream.meet, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    upstream.url = f"http://{host}:{port}"
    async with server:
        yield upstream
        await upstream.hang_up()


@contextmanager
def deaf_port() -> Iterator[int]:
    """A port whose queue of new connections is full: who connects waits."""
    with socket.socket() as server, socket.socket() as first, socket.socket() as second:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for each in (first, second):
            each.setblocking(False)
            each.connect_ex(server.getsockname())
        yield server.getsockname()[1]


def head(status: int = 200, kind: str = "application/json", **headers: object) -> bytes:
    lines = [f"HTTP/1.1 {status} Some", f"Content-Type: {kind}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def document(
    body: bytes, status: int = 200, kind: str = "application/json", **headers: object
) -> bytes:
    return head(status, kind, content_length=len(body), **headers) + body


def written(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer).encode()


STREAM = head(kind="text/event-stream", transfer_encoding="chunked")
LAST_CHUNK = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def begun(speech: Speech, words: Sequence[str]) -> list[Step]:
    """A stream's head, opening and some content, each word in a chunk of its own."""
    said = [chunk(speech.part(word)) for word in words]
    return [STREAM, chunk(speech.opening), *said, "pause"]


def well(speech: Speech, words: Sequence[str], *, stream: bool) -> Script:
    """The whole answer, as it should be."""
    if not stream:
        return [document(written(speech.whole("".join(words))))]
    ends = [chunk(part) for part in (speech.ending, speech.last) if part]
    return [*begun(speech, words), *ends, LAST_CHUNK]
