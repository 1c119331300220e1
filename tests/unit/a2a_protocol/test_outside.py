from __future__ import annotations

import socket

import aiohttp
import pytest

from agentcore.a2a_protocol.push.late_session import LateSession
from agentcore.a2a_protocol.push.outside import Names, outside_socket
from agentcore.cli.env.loopback import served_on_loopback
from tests.fakes.a2a import app_of


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "①②⑦.⓪.⓪.①", "[::ffff:127.0.0.1]", "0x7f.1"]
)
async def test_what_leads_inside_is_not_connected_to(host: str) -> None:
    """Whatever was checked before: a name may change its mind, and settings may change."""
    async with LateSession(anywhere=False) as session:
        async with served_on_loopback(app_of(None)) as url:  # type: ignore[arg-type]  # not called
            port = url.rpartition(":")[2]
            with pytest.raises(aiohttp.ClientConnectorError, match="no public address"):
                await session.opened().post(f"http://{host}:{port}/", data=b"")


async def test_a_name_leads_to_addresses() -> None:
    names = Names()
    found = await names.resolve("localhost", 80, socket.AF_INET)
    assert {(each["host"], each["port"]) for each in found} == {("127.0.0.1", 80)}
    with pytest.raises(OSError, match=r"."):
        await names.resolve("nothing.invalid", 80, socket.AF_INET)
    await names.close()


async def test_public_addresses_are_connected_to() -> None:
    info = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("8.8.8.8", 80))
    outside_socket(info).close()
