"""The door and the documented route give the same answers."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from agentcore.ace.door import PlaybookDoor
from agentcore.ace.models import ContextPlaybook
from agentcore.kit.errors import AgentCoreError, problem
from agentcore.kit.security import Principal
from tests.fakes.asgi import As, client
from tests.fakes.context import ALICE, MALLORY, ContextWorld, context_app

BASE = "/internal/context/playbooks"
AGENTS_OWN = replace(ALICE, subject="agent:agent-123")
ANOTHERS = replace(ALICE, subject="agent:agent-456")


async def refuse(scope: Scope, receive: Receive, send: Send, error: AgentCoreError) -> None:
    await JSONResponse(problem(error), error.http_status)(scope, receive, send)


class Behind:
    """Whether anything came through the door."""

    def __init__(self, world: ContextWorld) -> None:
        self.app = context_app(world)
        self.asked: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(Request(scope).url.path)
        await self.app(scope, receive, send)


@pytest.mark.parametrize("caller", [ALICE, MALLORY, AGENTS_OWN, ANOTHERS])
@pytest.mark.parametrize(
    ("agent_id", "plain"),
    [("agent-123", True), ("nobody", True), ("a:b@c", True), ("..", False), ("ö", False)],
)
async def test_both_say_the_same(
    world: ContextWorld,
    playbook: ContextPlaybook,
    caller: Principal,
    agent_id: str,
    plain: bool,
) -> None:
    behind = Behind(world)
    door = PlaybookDoor(behind, contexts=lambda: world.contexts, refuse=refuse)
    path = f"{BASE}/{quote(agent_id, safe='')}"
    async with client(As(door, caller)) as here, client(As(context_app(world), caller)) as there:
        ours, theirs = await here.get(path), await there.get(path)
    assert (ours.status_code, ours.content) == (theirs.status_code, theirs.content)
    assert ours.headers == theirs.headers
    assert (behind.asked == []) is plain


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/agent-123"),
        ("GET", "/agent-123/history"),
        ("GET", ""),
        ("GET", "/"),
        ("HEAD", "/agent-123"),
        ("GET", f"/{'a' * 256}"),
    ],
)
async def test_everything_else_is_handed_on(
    world: ContextWorld, playbook: ContextPlaybook, method: str, path: str
) -> None:
    behind = Behind(world)
    door = PlaybookDoor(behind, contexts=lambda: world.contexts, refuse=refuse)
    async with client(As(door, ALICE)) as http:
        await http.request(method, BASE + path)
    assert len(behind.asked) == 1
