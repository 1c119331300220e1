"""An answer's head and first bytes are one write, and nothing is kept back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.cli import corking
from agentcore.cli.corking import Corked
from tests.fakes.asgi import Wire

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"
PARTS = st.sampled_from([HEAD, b"ok", b"", b"HTTP/1.1 ", b"\r\n\r\n"]) | st.binary(max_size=40)


class Counting(Wire):
    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    def write(self, data: Any) -> None:
        super().write(data)
        self.writes.append(bytes(data))

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.write(b"".join(list_of_data))


async def corked() -> tuple[Corked, Counting]:
    wire = Counting()
    return Corked(wire, asyncio.get_running_loop()), wire


async def test_a_head_and_its_body_are_one_write() -> None:
    transport, wire = await corked()
    transport.write(HEAD)
    assert wire.writes == []
    transport.write(b"ok")
    transport.write(b"more")
    assert wire.writes == [HEAD + b"ok", b"more"]


async def test_a_head_without_a_body_goes_out_when_the_application_waits() -> None:
    transport, wire = await corked()
    transport.write(HEAD)
    await asyncio.sleep(0)
    assert wire.writes == [HEAD]
    transport.write(b"ok")
    assert wire.writes == [HEAD, b"ok"]


class Unread(Wire):
    """What is still unsent, each time that it is asked; then nothing changes any more."""

    def __init__(self, *unsent: int) -> None:
        super().__init__()
        self.unsent = list(unsent)
        self.aborted = False

    def get_write_buffer_size(self) -> int:
        return self.unsent.pop(0) if len(self.unsent) > 1 else self.unsent[0]

    def abort(self) -> None:
        self.aborted = True


@pytest.mark.parametrize(
    ("unsent", "aborted"),
    [((9, 9), True), ((9, 5, 5), True), ((9, 5, 2, 0), False), ((0, 0), False)],
)
async def test_who_reads_no_more_of_what_is_closed_is_cut_off(
    unsent: tuple[int, ...], *, aborted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corking, "LINGER_SECONDS", 0.0)
    wire = Unread(*unsent)
    Corked(wire, asyncio.get_running_loop()).close()
    while len(wire.unsent) > 1 or wire.aborted != aborted:
        await asyncio.sleep(0)
    assert wire.closed


async def test_closing_does_not_lose_a_head() -> None:
    closed, wire = await corked()
    closed.write(HEAD)
    closed.close()
    assert (wire.writes, closed.is_closing()) == ([HEAD], True)


@given(st.lists(st.tuples(PARTS, st.booleans()), max_size=8))
def test_bytes_keep_their_order_whoever_waits_when(parts: list[tuple[bytes, bool]]) -> None:
    async def written() -> bytes:
        transport, wire = await corked()
        for data, waits in parts:
            transport.write(data)
            if waits:
                await asyncio.sleep(0)
        transport.writelines([b"a", b"b"])
        return wire.written

    assert asyncio.run(written()) == b"".join(data for data, _ in parts) + b"ab"
