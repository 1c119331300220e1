"""Answers to clients of HTTP/1.0, which know no chunks (RFC 9112, section 6.1).

nginx asks so unless it is told otherwise. uvicorn would write chunks into the answer all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent, HTTPResponseStartEvent


class Unchunked:
    """What an application sends in one cycle. An answer whose length is not said before it ends
    with the connection.
    """

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._open_ended = False

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start":
            message = self._begun(message)
        elif message["type"] == "http.response.body" and self._open_ended:
            self._cycle.expected_content_length = len(message.get("body", b""))
        await RequestResponseCycle.send(self._cycle, message)

    def _begun(self, message: HTTPResponseStartEvent) -> HTTPResponseStartEvent:
        headers = [*message.get("headers", ())]
        if any(name.lower() == b"content-length" for name, _ in headers):
            return message
        self._open_ended = True
        self._cycle.chunked_encoding = False
        told = [header for header in headers if header[0].lower() != b"transfer-encoding"]
        return {**message, "headers": told}


def unchunked(cycle: RequestResponseCycle) -> None:
    """Have ``cycle``, whose application has not begun, answer so."""
    cycle.send = Unchunked(cycle).send  # type: ignore[method-assign]  # read when it starts
