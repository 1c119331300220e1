from __future__ import annotations

import httpx2
import pytest

from agentcore.training.openenv.environments.examples.guess_number import GuessNumber
from agentcore.training.openenv.models import EnvironmentServerConfig
from agentcore.training.openenv.server import EnvironmentServer
from tests.fakes.openenv_servers import serving

CONTROLS = {"/reset", "/step", "/state"}


class Painted(GuessNumber):
    def render(self) -> bytes | None:  # type: ignore[override]  # as an environment may
        return b"\x89PNG" if self.step_count == 0 else None


@pytest.mark.parametrize("mode", ["simulation", "production"])
async def test_the_api_page_has_exactly_the_routes_of_its_mode(mode: str) -> None:
    config = EnvironmentServerConfig.model_validate({"mode": mode})
    server = EnvironmentServer("guess_number", GuessNumber, config)
    async with serving(server) as url, httpx2.AsyncClient(base_url=url) as http:
        page = (await http.get("/openapi.json")).json()
        assert page["info"]["version"] == "1.0.0"
        assert (await http.get("/info")).json()["mode"] == mode
        for path, operations in page["paths"].items():
            for method in operations:
                address = path.replace("{env_name}", "guess_number")
                assert (await http.request(method, address)).status_code not in {404, 405}, path
        served = {path for path in CONTROLS if path in page["paths"]}
        assert served == (CONTROLS if mode == "simulation" else set())
        for path in CONTROLS:
            method = "GET" if path == "/state" else "POST"
            known = (await http.request(method, path, json={})).status_code != 404
            assert known == (mode == "simulation")


async def test_the_image_of_a_session_is_a_png() -> None:
    server = EnvironmentServer("painted", Painted)
    async with serving(server) as url, httpx2.AsyncClient(base_url=url) as http:
        create = {"jsonrpc": "2.0", "id": 1, "method": "openenv/session/create"}
        made = (await http.post("/mcp", json=create)).json()["result"]["session_id"]
        await http.post(f"/reset?session_id={made}", json={"seed": 1})
        image = await http.get(f"/render?session_id={made}")
        assert (image.headers["content-type"], image.content) == ("image/png", b"\x89PNG")
        action = {"type": "guess", "parameters": {"number": 1}}
        await http.post(f"/step?session_id={made}", json={"action": action})
        nothing = await http.get(f"/render?session_id={made}")
        assert (nothing.status_code, nothing.json()["code"]) == (404, "not_found")
        assert (await http.get("/render")).status_code == 422
        assert (await http.get("/render?session_id=x")).status_code == 404


async def test_unknown_routes_and_methods_are_problems() -> None:
    server = EnvironmentServer("guess_number", GuessNumber)
    async with serving(server) as url, httpx2.AsyncClient(base_url=url) as http:
        unknown = await http.get("/nowhere")
        assert unknown.headers["content-type"] == "application/problem+json"
        assert unknown.json() == unknown.json() | {"status": 404, "code": "not_found"}
        assert "/nowhere" in unknown.json()["detail"]
        for method, path, taken in [("GET", "/reset", "POST"), ("POST", "/health", "GET")]:
            wrong = await http.request(method, path)
            assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
            assert taken in wrong.headers["allow"]
            assert taken in wrong.json()["hint"]
