"""The one place where requests are let in: deny by default, one table of prefixes and scopes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from agentcore.kit.errors import AgentCoreError
from agentcore.kit.security import Authenticator
from agentcore.kit.standing import RECHECK_SECONDS, STANDING, serve_while_standing, still_good

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

Refuse = Callable[["Scope", "Receive", "Send", AgentCoreError], Awaitable[None]]
# Paths whose rule is remembered: those that come first, and most often.
MOST_KNOWN = 256
LONGEST_KNOWN = 64
READING = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Rule:
    """Requests below ``prefix`` need ``scope``; ``reading`` replaces it for GET and HEAD.

    An empty scope opens the prefix to everybody; ``instead`` is a scope that does as well.
    """

    prefix: str
    scope: str
    reading: str | None = None
    instead: str | None = None

    def needs(self, method: str) -> str:
        if self.reading is not None and method in READING:
            return self.reading
        return self.scope

    def covers(self, path: str) -> bool:
        return path == self.prefix or path.startswith(self.prefix.rstrip("/") + "/")


class Access:
    """ASGI middleware that authenticates and authorises before any route sees the request."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        authenticator: Callable[[], Authenticator],
        rules: Sequence[Rule],
        refuse: Refuse,
        recheck_seconds: float = RECHECK_SECONDS,
    ) -> None:
        self._app = app
        self._recheck_seconds = recheck_seconds
        self._authenticator = authenticator
        ordered = sorted(rules, key=lambda rule: -len(rule.prefix))
        self._rules = [(rule, rule.prefix.rstrip("/") + "/") for rule in ordered]
        self._known: dict[str, Rule | None] = {}
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        rule = self._rule(scope["path"])
        needed = rule.needs(scope.get("method", "WEBSOCKET")) if rule else None
        if needed != "":
            headers = dict(scope["headers"])
            try:
                principal = await self._authenticator().authenticate(headers)
                if rule and needed and not (rule.instead and principal.may(rule.instead)):
                    principal.require(needed)
            except AgentCoreError as error:
                await self._refuse(scope, receive, send, error)
                return
            standing = partial(still_good, self._authenticator, headers)
            scope.setdefault("state", {}).update({"principal": principal, STANDING: standing})
            if scope["type"] == "websocket" and not principal.is_service:
                await serve_while_standing(
                    self._app, scope, receive, send, standing=standing, every=self._recheck_seconds
                )
                return
        await self._app(scope, receive, send)

    def _rule(self, path: str) -> Rule | None:
        """The closest rule; None where there is none (unknown routes): any credential will do."""
        if path in self._known:
            return self._known[path]
        for rule, below in self._rules:
            if path.startswith(below) or path == rule.prefix:
                break
        else:
            rule = None
        if len(self._known) < MOST_KNOWN and len(path) <= LONGEST_KNOWN:
            self._known[path] = rule
        return rule


async def deny(scope: Scope, receive: Receive, send: Send, response: ASGIApp, reason: str) -> None:
    """Answer with ``response``; a WebSocket that cannot have it is closed for ``reason``."""
    if scope["type"] == "websocket":
        await receive()
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1008, "reason": reason[:120]})
            return
    await response(scope, receive, send)
