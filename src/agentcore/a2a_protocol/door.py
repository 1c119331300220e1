"""``POST /a2a`` without the framework's routing, which costs as much as a call itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect, Request

from agentcore.a2a_protocol.api import answer
from agentcore.a2a_protocol.cards import ENDPOINT
from agentcore.kit.access import Refuse
from agentcore.kit.errors import AgentCoreError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from agentcore.a2a_protocol.runtime import A2ARuntime

PATHS = frozenset({ENDPOINT, ENDPOINT + "/"})


@dataclass(frozen=True, slots=True)
class Route:
    """What metrics read the route's template from."""

    path: str


ROUTE = Route(ENDPOINT)


class A2ADoor:
    """ASGI middleware that answers calls itself and hands on everything else.

    To be added before the middleware that lets callers in. The route that stands in the
    documentation answers in the same way.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        runtime: Callable[[], A2ARuntime],
        refuse: Refuse,
        public_url: str = "",
    ) -> None:
        self._app = app
        self._public_url = public_url
        self._runtime = runtime
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in PATHS or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        scope["route"] = ROUTE
        request = Request(scope, receive)
        try:
            base = (self._public_url or str(request.base_url)).rstrip("/")
            response = await answer(self._runtime(), request, base)
        except AgentCoreError as error:
            await self._refuse(scope, receive, send, error)
        except ClientDisconnect:
            # Gone before its call was whole: there is nobody to answer.
            return
        else:
            await response(scope, receive, send)
