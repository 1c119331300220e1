"""When keys are read, how often, and what becomes of those who wait."""

from __future__ import annotations

import asyncio
import gzip
import os
import threading
from pathlib import Path

import pytest
from aiohttp import web

from agentcore.kit.errors import StartupError, Unavailable
from agentcore.kit.key_sets import (
    FRESH_SECONDS,
    KEPT_SECONDS,
    MOST_BYTES,
    PAUSE_SECONDS,
    KeyAddress,
    KeyFile,
    KeySet,
    key_source,
)
from tests.fakes.certificates import served_with, unknown_certificate
from tests.fakes.clock import ManualClock
from tests.fakes.identity_provider import FakeIdentityProvider
from tests.fakes.listening import listening


class Source:
    """What is read; ``gate`` holds readings back, ``fault`` makes them fail."""

    def __init__(self) -> None:
        self.data = b"1"
        self.fault = ""
        self.marked: object = 0
        self.reads = 0
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Event()

    def mark(self) -> object:
        return self.marked

    def read(self) -> bytes:
        self.reads += 1
        self.begun.set()
        assert self.gate.wait(30)
        if self.fault:
            raise Unavailable(self.fault)
        return self.data


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def keys(source: Source, clock: ManualClock) -> KeySet[str]:
    return KeySet(source, bytes.decode, clock)


async def settled(keys: KeySet[str], wanted: str) -> None:
    """What is read behind a request arrives."""
    async with asyncio.timeout(30):
        while await keys.held() != wanted:
            await asyncio.sleep(0.001)


async def test_one_reading_serves_all_who_wait(source: Source, keys: KeySet[str]) -> None:
    source.gate.clear()
    waiting = [asyncio.ensure_future(keys.held()) for _ in range(20)]
    waiting += [asyncio.ensure_future(keys.renewed()) for _ in range(20)]
    await asyncio.to_thread(source.begun.wait, 30)
    source.gate.set()
    assert await asyncio.gather(*waiting) == ["1"] * 40
    assert source.reads == 1


async def test_who_leaves_ends_no_reading(source: Source, keys: KeySet[str]) -> None:
    source.gate.clear()
    leaving = asyncio.ensure_future(keys.held())
    await asyncio.to_thread(source.begun.wait, 30)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    source.gate.set()
    assert await keys.held() == "1"
    assert source.reads == 1


async def test_known_keys_are_renewed_behind_the_requests(
    source: Source, keys: KeySet[str], clock: ManualClock
) -> None:
    assert await keys.held() == "1"
    source.data = b"2"
    clock.advance(FRESH_SECONDS - 1)
    assert (await keys.held(), source.reads) == ("1", 1)
    source.gate.clear()
    clock.advance(1)
    # The provider hangs, and nobody notices.
    assert [await keys.held() for _ in range(5)] == ["1"] * 5
    source.gate.set()
    await settled(keys, "2")
    assert source.reads == 2


async def test_keys_are_kept_for_an_hour_while_the_provider_is_away(
    source: Source, keys: KeySet[str], clock: ManualClock
) -> None:
    assert await keys.held() == "1"
    source.fault = "away"
    for _ in range(int(KEPT_SECONDS / PAUSE_SECONDS) - 1):
        clock.advance(PAUSE_SECONDS)
        assert await keys.held() == "1"
        with pytest.raises(Unavailable) as caught:
            await keys.renewed()
        assert caught.value.retry_after == PAUSE_SECONDS
    assert source.reads == KEPT_SECONDS / PAUSE_SECONDS
    clock.advance(PAUSE_SECONDS)
    with pytest.raises(Unavailable):
        await keys.held()
    source.fault = ""
    with pytest.raises(Unavailable):
        await keys.held()
    clock.advance(PAUSE_SECONDS)
    assert await keys.held() == "1"


async def test_who_asks_for_new_keys_is_heard_once_a_minute(
    source: Source, keys: KeySet[str], clock: ManualClock
) -> None:
    for _ in range(3):
        for _ in range(10):
            assert await keys.renewed() == "1"
        clock.advance(PAUSE_SECONDS)
    assert source.reads == 3


async def test_what_was_marked_anew_is_read_at_once(source: Source, keys: KeySet[str]) -> None:
    assert await keys.held() == "1"
    source.marked, source.data = 1, b"2"
    assert await keys.held() == "2"
    source.marked, source.fault = 2, "half written"
    assert await keys.held() == "2"
    # The same fault is not read again and again.
    assert await keys.held() == "2"
    assert source.reads == 3


async def test_files_are_marked_by_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    file = KeyFile(path)
    assert file.mark() is None
    path.write_bytes(b"1")
    os.utime(path, (1, 1))
    first = file.mark()
    assert (file.read(), file.mark()) == (b"1", first)
    other = tmp_path / "new"
    other.write_bytes(b"2")
    os.utime(other, (1, 1))
    other.replace(path)
    assert file.mark() != first
    path.write_bytes(b"x" * (MOST_BYTES + 1))
    with pytest.raises(Unavailable, match="more than"):
        file.read()


async def test_a_missing_file_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be read: No such file"):
        KeyFile(tmp_path / "nowhere").read()


async def fetched(url: str, seconds: float = 30.0) -> bytes:
    return await asyncio.to_thread(KeyAddress(url, seconds).read)


@pytest.mark.parametrize(
    ("fake", "message"),
    [
        (FakeIdentityProvider(status=404), "answers 404"),
        (FakeIdentityProvider(status=302, headers={"location": "/keys.json"}), "answers 302"),
        (FakeIdentityProvider(body=b"x" * (MOST_BYTES + 1)), "sends more than"),
    ],
    ids=["absent", "elsewhere", "endless"],
)
async def test_answers_that_hold_no_keys(fake: FakeIdentityProvider, message: str) -> None:
    async with fake.running() as url:
        with pytest.raises(Unavailable, match=message):
            await fetched(url)
        assert fake.asked == 1


async def test_what_was_packed_is_not_unpacked() -> None:
    packed = gzip.compress(b"x" * 10_000_000)
    fake = FakeIdentityProvider(body=packed, headers={"content-encoding": "gzip"})
    async with fake.running() as url:
        assert await fetched(url) == packed


async def test_a_provider_that_is_not_there() -> None:
    async with FakeIdentityProvider().running() as url:
        pass
    with pytest.raises(Unavailable, match="cannot be reached"):
        await fetched(url)


async def test_a_provider_that_drips_is_left() -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)

    app = web.Application()
    app.router.add_get("/", drip)
    async with listening(app, cancelling=True) as url:
        with pytest.raises(Unavailable, match=r"longer than 0\.2 s"):
            await fetched(url, 0.2)


async def test_a_certificate_of_nobody_is_refused(tmp_path: Path) -> None:
    runner = web.AppRunner(web.Application(), shutdown_timeout=0.05)
    await runner.setup()
    context = served_with(unknown_certificate(tmp_path))
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        with pytest.raises(Unavailable, match="cannot be reached"):
            await fetched(f"https://127.0.0.1:{runner.addresses[0][1]}/")
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    "place",
    ["https://login.example/keys", "http://127.0.0.1:8/keys", "http://[::1]/k", "http://localhost"],
)
def test_addresses_that_may_be_asked(place: str) -> None:
    assert isinstance(key_source(place), KeyAddress)


@pytest.mark.parametrize("place", ["/etc/keys.json", "keys.json", "C:\\keys.json"])
def test_paths(place: str) -> None:
    assert isinstance(key_source(place), KeyFile)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("http://login.example/keys", "cannot be 'http://login.example/keys'"),
        ("http://127.0.0.1.evil.example/", "cannot be"),
        ("ftp://127.0.0.1/keys", "cannot be"),
        ("https://", "cannot be"),
        ("https://host:port/", "is no address"),
        ("https://[::1/", "is no address"),
        ("https://user:hidden@login.example/keys", "holds credentials"),
        ('{"keys": []}', "holds keys where their place is meant"),
    ],
)
def test_places_where_no_keys_are_read(place: str, message: str) -> None:
    with pytest.raises(StartupError, match=message) as caught:
        key_source(place)
    assert "hidden" not in caught.value.detail
    assert "\n" not in caught.value.detail
