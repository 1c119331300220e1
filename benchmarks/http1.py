"""Just enough HTTP/1.1 for both ends of a measurement, and cheap: it is not what is measured."""

from __future__ import annotations

import asyncio
from typing import cast

LENGTH = b"content-length:"


class Messages(asyncio.Protocol):
    """Splits what arrives into messages with a Content-Length (or none); keep-alive."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        while buffer:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                break
            total = end + 4 + length_of(buffer[:end])
            if len(buffer) < total:
                break
            self.message(buffer[: end + 4], buffer[end + 4 : total])
            buffer = buffer[total:]
        self._buffer = buffer

    def message(self, head: bytes, body: bytes) -> None:
        """One whole message has arrived; the client and the upstream each do their own with it."""
        raise NotImplementedError


def length_of(head: bytes) -> int:
    lowered = head.lower()
    start = lowered.find(LENGTH)
    if start < 0:
        return 0
    end = lowered.find(b"\r\n", start)
    return int(lowered[start + len(LENGTH) : end if end >= 0 else None])


def request(
    method: str, path: str, host: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
