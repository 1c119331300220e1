"""``GET /internal/context/playbooks/{agent_id}`` without the framework's routing, which costs four
times as much as the read itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentcore.ace.api_models import PlaybookRead
from agentcore.ace.context_manager import ContextManager
from agentcore.kit.access import Refuse
from agentcore.kit.errors import AgentCoreError
from agentcore.kit.security import principal_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

PREFIX = "/internal/context/playbooks/"
# Ids of other letters take the documented route, which says the same.
PLAIN_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,254}")


@dataclass(frozen=True, slots=True)
class Route:
    """What metrics read the route's template from."""

    path: str


ROUTE = Route(PREFIX + "{agent_id}")


class PlaybookDoor:
    """ASGI middleware that answers reads of playbooks itself and hands on everything else.

    It belongs behind what lets callers in. The route that stands in the documentation answers in
    the same way.
    """

    def __init__(
        self, app: ASGIApp, *, contexts: Callable[[], ContextManager], refuse: Refuse
    ) -> None:
        self._app = app
        self._contexts = contexts
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        agent_id = _read(scope)
        if agent_id is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = ROUTE
        try:
            found = await self._contexts().get_playbook(agent_id, principal=principal_of(scope))
        except AgentCoreError as error:
            await self._refuse(scope, receive, send, error)
            return
        body = PlaybookRead.written(found)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"etag", b'"%d"' % found.version),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _read(scope: Scope) -> str | None:
    """Whose playbook is read, if one is."""
    if scope["type"] != "http" or scope["method"] != "GET":
        return None
    path: str = scope["path"]
    if not path.startswith(PREFIX) or PLAIN_ID.fullmatch(path, len(PREFIX)) is None:
        return None
    return path[len(PREFIX) :]
