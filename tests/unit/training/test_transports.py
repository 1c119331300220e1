from __future__ import annotations

from typing import Any

import pytest
from starlette.responses import Response
from starlette.types import Message

from agentcore.kit.security import Principal
from agentcore.training.openenv.errors import CapacityReached
from agentcore.training.openenv.models import EnvironmentServerConfig
from agentcore.training.openenv.serving.transports import Transports
from tests.fakes.clock import ManualClock

CONFIG = EnvironmentServerConfig(max_sessions_per_caller=1, session_idle_seconds=60)


async def ask(transports: Transports, response: Response, **headers: str) -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        pass

    player = Principal(subject="player", tenant="a", scopes=frozenset({"env:act"}))
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope: dict[str, Any] = {"type": "http", "method": "POST", "headers": named}
    scope["state"] = {"principal": player}
    await transports.serve(response, scope, receive, send)


async def test_what_was_idle_for_too_long_no_longer_counts() -> None:
    clock = ManualClock()
    transports = Transports(CONFIG, clock)
    await ask(transports, Response(headers={"mcp-session-id": "one"}))
    clock.advance(50)
    await ask(transports, Response(), mcp_session_id="one")
    clock.advance(50)
    with pytest.raises(CapacityReached):
        await ask(transports, Response())
    clock.advance(20)
    await ask(transports, Response())


async def test_what_failed_or_is_gone_or_has_no_session_does_not_count() -> None:
    transports = Transports(CONFIG, ManualClock())
    await ask(transports, Response(status_code=400, headers={"mcp-session-id": "none"}))
    await ask(transports, Response(headers={"mcp-session-id": "one"}))
    await ask(transports, Response(), mcp_protocol_version="2026-07-28")
    await ask(transports, Response(status_code=404), mcp_session_id="one")
    await ask(transports, Response())
