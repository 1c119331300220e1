from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentcore.training.openenv.errors import InvalidDeployment, RuntimeUnavailable
from agentcore.training.openenv.runtimes.docker_engine import open_engine
from tests.fakes.docker_engine import DockerEngineFake, docker_engine


@pytest.fixture
async def place() -> AsyncIterator[Path]:
    # Paths of sockets are limited to 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ac-") as folder:
        yield Path(folder) / "docker.sock"


@pytest.fixture
async def fake(place: Path) -> AsyncIterator[DockerEngineFake]:
    async with docker_engine(place) as running:
        yield running


async def refusal(host: str) -> RuntimeUnavailable:
    with pytest.raises(RuntimeUnavailable) as refused:
        async with open_engine(host) as engine:
            await engine.containers(a="b")
    return refused.value


async def test_an_absent_engine_is_said_with_a_way_out(place: Path) -> None:
    refused = await refusal(f"unix://{place}")
    assert (
        refused.detail
        == f"no Docker engine answers at unix://{place}: [Errno 2] No such file or directory"
    )
    assert "DOCKER_HOST" in refused.hint
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(place))
    assert "no Docker engine answers" in (await refusal(f"unix://{place}")).detail
    assert "no Docker engine answers" in (await refusal("tcp://127.0.0.1:1")).detail


@pytest.mark.skipif(os.geteuid() == 0, reason="root may use every socket")
async def test_a_socket_of_others_is_said_with_a_way_out(place: Path) -> None:
    async with docker_engine(place):
        place.chmod(0)
        assert "may not use" in (await refusal(f"unix://{place}")).detail


async def test_a_denied_socket_is_told_from_an_absent_one(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the test before shows for others, root sees only like this."""
    import aiohttp

    async def denied(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(aiohttp.UnixConnector, "connect", denied)
    refused = await refusal(f"unix://{place}")
    assert "may not use the Docker engine" in refused.detail
    assert "group docker" in refused.hint


@pytest.mark.parametrize("host", ["", "ssh://me@there", "tcp://10.0.0.7:2375", "npipe:////./x"])
async def test_engines_elsewhere_are_refused(host: str) -> None:
    assert "no Docker engine can be used" in (await refusal(host)).detail


async def test_an_engine_that_fails_is_quoted(fake: DockerEngineFake, place: Path) -> None:
    fake.failing = "no space left on device"
    assert "no space left on device" in (await refusal(f"unix://{place}")).detail


async def test_what_is_gone_is_no_error_and_what_is_wrong_is(
    fake: DockerEngineFake, place: Path
) -> None:
    async with open_engine(f"unix://{place}") as engine:
        assert await engine.inspect("nobody") is None
        await engine.remove("nobody", seconds=1)
        assert await engine.logs("nobody", lines=3) == ""
        with pytest.raises(InvalidDeployment, match="No such image: x"):
            await engine.create("a", {"Image": "x"})
