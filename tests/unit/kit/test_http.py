from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from agentcore.kit.http import bounded, open_http
from tests.fakes.listening import listening


async def test_the_pool_keeps_connections_and_no_cookies() -> None:
    ports: list[object] = []

    async def handle(request: web.Request) -> web.Response:
        assert request.transport is not None
        ports.append(request.transport.get_extra_info("peername"))
        response = web.Response(text=str(request.cookies.get("kept", "none")))
        response.set_cookie("kept", "yes")
        return response

    app = web.Application()
    app.router.add_get("/", handle)
    async with listening(app) as url, open_http() as http:
        for _ in range(2):
            async with http.get(url) as response:
                assert await response.text() == "none"
    assert ports[0] == ports[1]


@pytest.mark.parametrize(("most", "found"), [(0, b"ab"), (2, b"abcd"), (6, b"abcdef")])
async def test_no_more_of_a_body_is_read_than_shows_that_it_is_too_large(
    most: int, found: bytes
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for chunk in (b"ab", b"cd", b"ef"):
            yield chunk

    assert await bounded(chunks(), most) == found
