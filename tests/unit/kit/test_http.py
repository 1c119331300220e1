from __future__ import annotations

from aiohttp import web

from agentcore.kit.http import open_http
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
