from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentcore.kit.embedded import pgwire
from agentcore.kit.embedded.pgwire import Answer, ask

AUTHENTICATED = b"R" + struct.pack("!ii", 8, 0)
READY = b"Z" + struct.pack("!i", 5) + b"I"


def error(sqlstate: str, text: str) -> bytes:
    body = b"SFATAL\0C" + sqlstate.encode() + b"\0M" + text.encode() + b"\0\0"
    return b"E" + struct.pack("!i", len(body) + 4) + body


@contextmanager
def server(address: Path, *answers: bytes) -> Iterator[list[bytes]]:
    """Answers each message of one connection with the next of ``answers``, then hangs up."""
    received: list[bytes] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            for answer in answers:
                received.append(connection.recv(4096))
                connection.sendall(answer)
            if answers[-1].endswith(READY):
                received.append(connection.recv(4096))

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        yield received
        thread.join()


def test_a_login_names_user_and_database_and_says_goodbye(tmp_path: Path) -> None:
    with server(tmp_path / "s", AUTHENTICATED + READY) as received:
        assert ask(tmp_path / "s", user="u", database="d") == Answer()
    assert received == [
        struct.pack("!ii", 27, pgwire.PROTOCOL) + b"user\0u\0database\0d\0\0",
        b"X\0\0\0\4",
    ]


@pytest.mark.parametrize(
    "fatal",
    [error("57P03", "starting up"), error("53300", "too many"), error("3D000", "none")],
    ids=["starting", "full", "absent"],
)
def test_a_refusal_is_an_answer(tmp_path: Path, fatal: bytes) -> None:
    with server(tmp_path / "s", fatal):
        answer = ask(tmp_path / "s", user="u", database="d")
    assert answer is not None
    assert answer.sqlstate.encode() in fatal
    assert answer.message.encode() in fatal


def test_a_failed_statement_is_told_from_a_good_one(tmp_path: Path) -> None:
    with server(tmp_path / "s", AUTHENTICATED + READY, error("42P04", "exists") + READY) as got:
        answer = ask(tmp_path / "s", user="u", database="d", statement="CREATE DATABASE d")
    assert answer == Answer("42P04", "exists")
    assert got[1] == b"Q" + struct.pack("!i", 22) + b"CREATE DATABASE d\0"


def test_nobody_there_a_hang_up_and_silence_are_no_answer(tmp_path: Path) -> None:
    assert ask(tmp_path / "absent", user="u", database="d") is None
    with server(tmp_path / "s", b"R\0"):
        assert ask(tmp_path / "s", user="u", database="d") is None
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(tmp_path / "deaf"))
        deaf.listen()
        assert ask(tmp_path / "deaf", user="u", database="d", timeout=0.05) is None
