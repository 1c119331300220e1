"""A Hub on loopback: the answer of GET /api/spaces as the real one gives it, and its faults."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.fakes.openenv_servers import serving

PAGE = 2
Endpoint = Callable[[Request], Response | Awaitable[Response]]


def space(repo_id: str, *tags: str, **changed: Any) -> dict[str, Any]:
    author, _, name = repo_id.partition("/")
    return {
        "_id": repo_id,
        "id": repo_id,
        "author": author,
        "sha": hashlib.sha1(repo_id.encode()).hexdigest(),
        "sdk": "docker",
        "subdomain": repo_id.lower().replace("/", "-").replace("_", "-"),
        "tags": ["openenv", *tags],
        "cardData": {"title": f"{name} environment", "license": "mit", "sdk": "docker"},
        "runtime": {"stage": "SLEEPING", "hardware": {"current": None, "requested": "cpu-basic"}},
        "lastModified": "2026-11-01T00:00:00.000Z",
        **changed,
    }


@dataclass
class FakeHub:
    """Pages of two. ``token`` guards private Spaces; ``failing`` answers the next requests."""

    spaces: list[dict[str, Any]] = field(default_factory=list)
    token: str = ""
    failing: list[Response] = field(default_factory=list)
    asked: list[tuple[str, dict[str, list[str]]]] = field(default_factory=list)
    answer: Any = None
    url: str = ""

    @asynccontextmanager
    async def running(self, endpoint: Endpoint | None = None) -> AsyncIterator[str]:
        app = Starlette(routes=[Route("/api/spaces", endpoint or self.respond)])
        async with serving(app) as self.url:
            yield self.url

    def respond(self, request: Request) -> Response:
        given = request.headers.get("authorization", "")
        query = {name: request.query_params.getlist(name) for name in request.query_params}
        self.asked.append((given, query))
        if self.failing:
            return self.failing.pop(0)
        if given not in {"", f"Bearer {self.token}"}:
            return JSONResponse({"error": "Invalid credentials in Authorization header"}, 401)
        if self.answer is not None:
            return JSONResponse(self.answer)
        found = [each for each in self.spaces if self._shown(each, query, given)]
        return self.page(found, query)

    def page(self, found: list[dict[str, Any]], query: dict[str, list[str]]) -> Response:
        start = int(query.get("cursor", ["0"])[0])
        headers = {}
        if start + PAGE < len(found):
            more = urlencode({**query, "cursor": [str(start + PAGE)]}, doseq=True)
            headers["link"] = f'<{self.url}/api/spaces?{more}>; rel="next"'
        return JSONResponse(found[start : start + PAGE], headers=headers)

    def _shown(self, each: dict[str, Any], query: dict[str, list[str]], given: str) -> bool:
        wanted, author = set(query.get("filter", [])), query.get("author", [])
        return (
            wanted <= set(each["tags"] or ())
            and author in ([], [each["author"]])
            and (bool(given) or not each.get("private"))
        )
