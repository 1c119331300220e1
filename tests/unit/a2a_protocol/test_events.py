from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.a2a_protocol.remote.events import EventSplitter, PeerEvent, TooLong
from tests.fakes.cutting import CUTS, cut

STREAM = (
    b"retry: 1000\r\n\r\n: hello\n\nid: 1\ndata: one\n\ndata:two\rdata: lines\r\revent: x\n"
    b"data: three\nid: 7\n\n\n\ndata\n\nid: 9\x00\ndata: four\n\ndata: cut off"
)
EVENTS = [
    PeerEvent(b"one", "1"),
    PeerEvent(b"two\nlines", "1"),
    PeerEvent(b"three", "7"),
    PeerEvent(b"four", "7"),
]


@given(CUTS)
def test_events_are_the_same_however_they_arrive(at: list[int]) -> None:
    splitter = EventSplitter(100)
    found = [event for piece in cut(STREAM, at) for event in splitter.feed(piece)]
    assert found == EVENTS


@given(st.binary(max_size=300), CUTS)
def test_any_bytes_are_events_or_nothing(data: bytes, at: list[int]) -> None:
    splitter = EventSplitter(1000)
    assert all(event.data for piece in cut(data, at) for event in splitter.feed(piece))


@pytest.mark.parametrize("stream", [b"data: " + b"x" * 30, b"data: x\n" * 30, b":" + b"x" * 30])
def test_what_is_too_long_is_refused(stream: bytes) -> None:
    with pytest.raises(TooLong, match="more than 20 bytes"):
        list(EventSplitter(20).feed(stream))
