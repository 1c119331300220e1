from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from agentcore.kit.embedded.layout import Home, open_home
from agentcore.kit.embedded.locks import Patience, try_lock
from agentcore.kit.embedded.unit import Unit
from agentcore.kit.embedded.valkey import Valkey


@pytest.fixture
def place(home: Path) -> Iterator[Home]:
    opened = open_home(home)
    client = try_lock(opened.clients, "shared")
    assert client is not None
    yield opened
    os.close(client)


async def test_it_is_a_bounded_cache_on_a_private_socket_only(place: Home) -> None:
    server = Valkey(place, max_memory_mb=32)
    assert server.probe() == "silent"
    Unit(place, server).ensure(Patience(60))
    assert server.probe() == "ready"
    assert server.socket.stat().st_mode & 0o777 == 0o700
    assert server.socket.parent.stat().st_mode & 0o777 == 0o700
    async with Redis.from_url(server.url, decode_responses=True) as redis:
        asked = ("port", "save", "appendonly", "maxmemory", "maxmemory-policy", "dir")
        found = await redis.config_get(*asked)
        version = (await redis.info("server"))["valkey_version"]
    assert version.startswith("9.")
    assert found == {
        "port": "0",
        "save": "",
        "appendonly": "no",
        "maxmemory": str(32 * 1024 * 1024),
        "maxmemory-policy": "allkeys-lru",
        "dir": str(server.socket.parent),
    }


def test_its_url_survives_odd_paths(tmp_path: Path) -> None:
    assert Valkey(Home(tmp_path / "a b")).url.startswith("unix:///tmp/agentcore-")
    assert Valkey(Home(Path("/h/a"))).url == "unix:///h/a/run/valkey.sock"


def test_its_last_line_says_why_it_ended(place: Home) -> None:
    server = Valkey(place)
    assert server.reason("1:M * fine\n1:M # Failed opening Unix socket\n\n").text.endswith("socket")
    assert server.reason("").text == "it said nothing"
    assert not server.reason("").known
