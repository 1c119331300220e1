"""Just enough of PostgreSQL's protocol 3.0 to ask a server on a unix socket how it is.

A driver would cost its import on every start and cannot tell "starting up" from "refused" sooner.
Only trust authentication is spoken: the socket's folder is the credential.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

PROTOCOL = 196608
CANNOT_CONNECT_NOW = "57P03"
INVALID_CATALOG = "3D000"


@dataclass(frozen=True, slots=True)
class Answer:
    """``sqlstate`` is empty when the server answered with success."""

    sqlstate: str = ""
    message: str = ""


def ask(
    address: Path, *, user: str, database: str, statement: str = "", timeout: float = 5.0
) -> Answer | None:
    """Log in, run ``statement`` if one is given, and log out. None when nobody answers."""
    try:
        with closing(socket.socket(socket.AF_UNIX)) as wire:
            wire.settimeout(timeout)
            wire.connect(str(address))
            members = b"user\0%s\0database\0%s\0\0" % (user.encode(), database.encode())
            wire.sendall(struct.pack("!ii", len(members) + 8, PROTOCOL) + members)
            answer = _answer(wire)
            if statement and not answer.sqlstate:
                query = statement.encode() + b"\0"
                wire.sendall(b"Q" + struct.pack("!i", len(query) + 4) + query)
                answer = _answer(wire)
            with suppress(OSError):
                wire.sendall(b"X" + struct.pack("!i", 4))
            return answer
    except (OSError, EOFError):
        return None


def _answer(wire: socket.socket) -> Answer:
    answer = Answer()
    for kind, body in _messages(wire):
        if kind == b"E":
            answer = _error(body)
        elif kind == b"Z":
            return answer
    # A fatal error closes the connection without "ready for query".
    if answer.sqlstate:
        return answer
    raise EOFError


def _messages(wire: socket.socket) -> Iterator[tuple[bytes, bytes]]:
    with wire.makefile("rb") as stream:
        while len(head := stream.read(5)) == 5:
            size = struct.unpack("!i", head[1:])[0] - 4
            yield head[:1], stream.read(size)


def _error(body: bytes) -> Answer:
    fields = {part[:1]: part[1:].decode(errors="replace") for part in body.split(b"\0") if part}
    return Answer(fields.get(b"C", "XX000"), fields.get(b"M", ""))
