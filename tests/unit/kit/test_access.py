from __future__ import annotations

from collections.abc import Mapping

import pytest
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from agentcore.kit.access import Access, Rule
from agentcore.kit.errors import AgentCoreError, Unauthenticated
from agentcore.kit.security import Principal, principal_of
from tests.fakes.asgi import Seen, client

RULES = (
    Rule("/open", ""),
    Rule("/data", "data:write", reading="data:read"),
    Rule("/data/secret", "admin"),
    Rule("/games", "act", instead="control"),
)


class ByName:
    """The credential is the list of scopes itself."""

    async def authenticate(self, headers: Mapping[bytes, bytes]) -> Principal:
        given = headers.get(b"x-scopes")
        if given is None:
            raise Unauthenticated("no credential")
        scopes = frozenset(given.decode().split())
        return Principal(subject="x", tenant="t", scopes=scopes)


async def refuse(scope: Scope, receive: Receive, send: Send, error: AgentCoreError) -> None:
    await JSONResponse({"code": error.code}, error.http_status)(scope, receive, send)


@pytest.mark.parametrize(
    ("method", "path", "scopes", "status"),
    [
        ("GET", "/open/anything", None, 200),
        ("GET", "/data", None, 401),
        ("GET", "/data", "data:read", 200),
        ("POST", "/data", "data:read", 403),
        ("POST", "/data/deep", "data:write", 200),
        ("GET", "/data/secret", "data:read data:write", 403),
        ("GET", "/data/secret/x", "admin", 200),
        ("GET", "/games/a", "act", 200),
        ("POST", "/games/a", "control", 200),
        ("GET", "/games/a", "data:read", 403),
        ("GET", "/games/a", None, 401),
        ("GET", "/database", None, 401),
        ("GET", "/database", "", 200),
        ("GET", "/openness", None, 401),
        ("GET", "/", None, 401),
    ],
)
async def test_the_longest_matching_rule_decides(
    method: str, path: str, scopes: str | None, status: int
) -> None:
    seen = Seen()
    app = Access(seen, authenticator=ByName, rules=RULES, refuse=refuse)
    headers = {} if scopes is None else {"x-scopes": scopes}
    async with client(app) as http:
        answer = await http.request(method, path, headers=headers)
    assert answer.status_code == status
    assert len(seen.scopes) == (1 if status == 200 else 0)


async def test_the_route_learns_who_calls() -> None:
    seen = Seen()
    app = Access(seen, authenticator=ByName, rules=RULES, refuse=refuse)
    async with client(app) as http:
        await http.get("/data", headers={"x-scopes": "data:read"})
    assert principal_of(seen.scopes[0]).may("data:read")
