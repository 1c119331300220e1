"""Own frames against the library's: whatever comes, however cut, both make the same of it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, OPEN, Protocol, State
from websockets.server import ServerProtocol

from agentcore.training.openenv.framing import FrameCutter, text_frame
from tests.fakes.cutting import cut

LARGEST = 70_000
TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
SIZES = [0, 1, 2, 124, 125, 126, 127, 400, 65535, 65536]
CONTENT = {Opcode.TEXT, Opcode.BINARY, Opcode.CONT}


def on_the_wire(head: int, payload: bytes, *, masked: bool = False, longer: int = 0) -> bytes:
    """A frame; ``longer`` writes its length in more bytes than it takes."""
    size, bit = len(payload), 0x80 if masked else 0
    if size < 126 and not longer:
        return bytes([head, bit | size]) + payload
    if size < 65536 and longer < 2:
        return bytes([head, bit | 126]) + size.to_bytes(2, "big") + payload
    return bytes([head, bit | 127]) + size.to_bytes(8, "big") + payload


sizes = st.sampled_from(SIZES)
frames = st.builds(
    on_the_wire,
    st.one_of(
        st.sampled_from([0x81, 0x81, 0x81, 0x01, 0x00, 0x80, 0x82, 0x89, 0x8A]),
        st.sampled_from([0x88, 0x83, 0x8B, 0xC1, 0x91, 0x09, 0x08]),
    ),
    st.one_of(
        sizes.map(lambda size: b"x" * size),
        st.binary(max_size=6),
        st.just(b"\x03\xe8bye"),
        st.just("ä€😀".encode()),
    ),
    masked=st.sampled_from([False] * 9 + [True]),
    longer=st.sampled_from([0] * 9 + [1, 2]),
)
streams = st.lists(frames, max_size=6).map(b"".join)


@dataclass
class Heard:
    """What came out of a connection; the pongs and the close frame are what it answered."""

    messages: list[bytes] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)
    state: State = OPEN
    fault: type[Exception] | None = None
    close: str = "None"
    _parts: list[bytes] = field(default_factory=list)

    def take(self, library: Protocol) -> None:
        for event in library.events_received():
            assert isinstance(event, Frame)
            if event.opcode in CONTENT:
                self._parts.append(bytes(event.data))
                if event.fin:
                    self.messages.append(b"".join(self._parts))
                    self._parts.clear()
        for data in library.data_to_send():
            mask, body = data[2:6], data[6:]
            plain = bytes(byte ^ mask[at % 4] for at, byte in enumerate(body))
            self.answers.append(data[:2] + plain)
        self.state = library.state
        self.fault = None if library.parser_exc is None else type(library.parser_exc)
        self.close = str(library.close_rcvd)


def library_of_a_client() -> Protocol:
    return Protocol(CLIENT, max_size=LARGEST)


def alone(stream: bytes, *, ended: bool) -> Heard:
    library, heard = library_of_a_client(), Heard()
    library.receive_data(stream)
    heard.take(library)
    if ended:
        library.receive_eof()
        heard.take(library)
    return heard


def together(pieces: list[bytes], *, ended: bool) -> tuple[Heard, int]:
    """What the cutter and the library make of it, and how many messages went past the library."""
    library, heard, cutter, own = library_of_a_client(), Heard(), FrameCutter(LARGEST), 0
    assert list(cutter.cut(b"")) == []
    for piece in pieces:
        buffer = bytearray(piece) + b"\x81\x00 what an earlier read has left here"
        message = cutter.message(buffer, len(piece)) if piece else None
        if message is not None:
            heard.messages.append(message)
            own += 1
            continue
        for text, data in cutter.cut(piece):
            if text:
                heard.messages.append(data)
                own += 1
                continue
            library.receive_data(data)
            heard.take(library)
            if library.state is not OPEN:
                cutter.pass_on()
    if ended:
        library.receive_eof()
        heard.take(library)
    return heard, own


@given(
    stream=streams,
    cuts=st.lists(st.one_of(st.integers(0, 40), st.integers(0, 140_000)), max_size=6),
    missing=st.one_of(st.just(0), st.integers(0, 20)),
    ended=st.booleans(),
)
@example(on_the_wire(0x81, b"{}") * 3, [], 0, False)
@example(
    on_the_wire(0x01, b"a") + on_the_wire(0x89, b"?") + on_the_wire(0x80, b"b"), [3, 5], 0, True
)
@example(on_the_wire(0x01, b"a") + on_the_wire(0x81, b"b"), [], 0, False)
@example(on_the_wire(0x80, b"continues nothing"), [1], 0, False)
@example(on_the_wire(0x88, b"\x03\xe8") + on_the_wire(0x81, b"too late"), [], 0, False)
@example(on_the_wire(0x81, b"x", masked=True) + on_the_wire(0x81, b"y"), [1], 0, False)
@example(on_the_wire(0x01, b"x" * 65536) + on_the_wire(0x80, b"x" * 65535), [], 0, False)
@example(on_the_wire(0x81, b"\xff\xfe"), [], 0, True)
def test_both_make_the_same_of_it(
    stream: bytes, cuts: list[int], missing: int, ended: bool
) -> None:
    stream = stream[: max(0, len(stream) - missing)]
    heard, _ = together(cut(stream, cuts), ended=ended)
    # What ends a connection is judged by the library, and as early as if it had seen everything.
    assert heard == alone(stream, ended=ended)


@given(st.lists(st.sampled_from(SIZES[:8]), max_size=5), st.data())
def test_whole_text_messages_do_not_reach_the_library(
    lengths: list[int], data: st.DataObject
) -> None:
    stream = b"".join(on_the_wire(0x81, b"x" * length) for length in lengths)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=5))
    heard, own = together(cut(stream, cuts), ended=False)
    assert own == len(lengths)
    assert [len(message) for message in heard.messages] == lengths


@pytest.mark.parametrize("size", [125, 126, 65535, 65536])
def test_one_byte_at_a_time(size: int) -> None:
    message = bytes(at % 251 for at in range(size))
    stream = on_the_wire(0x81, message) + on_the_wire(0x81, b"next")
    cutter = FrameCutter(LARGEST)
    found = [each for at in range(len(stream)) for each in cutter.cut(stream[at : at + 1])]
    assert found == [(True, message), (True, b"next")]


@pytest.mark.parametrize("size", SIZES)
def test_what_is_written_is_read_by_any_server(size: int) -> None:
    message = bytes(at % 251 for at in range(size))
    server = ServerProtocol(state=OPEN, max_size=None)
    server.receive_data(text_frame(message))
    (frame,) = server.events_received()
    assert isinstance(frame, Frame)
    assert (frame.opcode, frame.fin, bytes(frame.data)) == (Opcode.TEXT, True, message)
    assert server.state is OPEN


def test_what_is_too_large_is_not_waited_for() -> None:
    cutter = FrameCutter(LARGEST)
    head = b"\x81\x7f" + (LARGEST + 1).to_bytes(8, "big")
    assert list(cutter.cut(head[:9])) == []
    assert list(cutter.cut(head[9:])) == [(False, head)]
    assert list(cutter.cut(b"more")) == [(False, b"more")]
    assert cutter.message(bytearray(b"\x81\x00"), 2) is None


def test_nothing_is_read_before_the_handshake_is_over() -> None:
    assert FrameCutter(LARGEST).message(bytearray(b"\x81\x01x"), 3) is None


def test_masks_are_not_used_twice() -> None:
    """Sessions may live in several threads: each takes its own of the masks drawn together."""
    masks: list[bytes] = []

    def write() -> None:
        masks.extend(text_frame(b"x")[2:6] for _ in range(2000))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Of 8000 random masks of 32 bits, a few may be equal by chance; not as many as were drawn.
    assert len(set(masks)) > 7990
