"""A model API that answers at once: ``python -m benchmarks.upstream PORT``.

Plain answers are one write. Streams are 32 events, the first at once, the others 50 a second; the
content of each is the moment at which it was sent, in nanoseconds of the machine's monotonic clock.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import uvloop

from benchmarks.http1 import Messages

EVENTS = 32
PAUSE = 0.02
TEXT = "The quick brown fox jumps over the lazy dog. " * 18
ANSWER = json.dumps(
    {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1760000000,
        "model": "mock",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": TEXT},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 250, "completion_tokens": 180, "total_tokens": 430},
    }
).encode()
STATUS = json.dumps(
    {
        "type": "cluster_status",
        "data": {
            "status": "available",
            "model_name": "mock",
            "init_nodes_num": 1,
            "node_join_command": None,
            "node_list": [{"node_id": "mock", "status": "available"}],
            "need_more_nodes": False,
            "max_running_request": 100000,
        },
    }
).encode()
SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
NDJSON = SSE.replace(b"text/event-stream", b"application/x-ndjson")


def plain(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    chunk = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1760000000,
        "model": "mock",
        "choices": [choice],
    }
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


PLAIN = plain(ANSWER)
FIRST = SSE + chunked(event({"role": "assistant", "content": "The"}))
# All moments have as many digits until the machine has run for days.
NOW = "%016d"
NEXT = chunked(event({"content": NOW % 0}))
LAST = (
    chunked(event({}, "stop"))
    + chunked(
        b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","choices":[],'
        b'"usage":{"prompt_tokens":250,"completion_tokens":32,"total_tokens":282}}\n\n'
    )
    + chunked(b"data: [DONE]\n\n")
    + b"0\r\n\r\n"
)
CATALOGUE = plain(b'{"object":"list","data":[{"id":"mock","object":"model","created":0}]}')


class Upstream(Messages):
    def message(self, head: bytes, body: bytes) -> None:
        if b'"stream":true' in body or b'"stream": true' in body:
            self.transport.write(FIRST)
            asyncio.get_running_loop().call_later(PAUSE, self._more, 1)
        elif head.startswith(b"POST"):
            self.transport.write(PLAIN)
        elif b"/cluster/status_json" in head:
            self.transport.write(plain(STATUS))
        elif b"/cluster/status" in head:
            self.transport.write(NDJSON)
            self._tell()
        else:
            self.transport.write(CATALOGUE)

    def _more(self, number: int) -> None:
        if self.transport.is_closing():
            return
        if number == EVENTS - 1:
            self.transport.write(LAST)
            return
        now = NOW % time.monotonic_ns()
        self.transport.write(NEXT.replace(b"0" * len(now), now.encode()))
        asyncio.get_running_loop().call_later(PAUSE, self._more, number + 1)

    def _tell(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(chunked(STATUS + b"\n"))
            asyncio.get_running_loop().call_later(1.0, self._tell)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
