from __future__ import annotations

from aiohttp import web

from agentcore.kit.http import open_http


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
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    async with open_http() as http:
        for _ in range(2):
            async with http.get(f"http://{host}:{port}/") as response:
                assert await response.text() == "none"
    await runner.cleanup()
    assert ports[0] == ports[1]
