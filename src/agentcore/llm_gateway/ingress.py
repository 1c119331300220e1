"""``/v1`` as plain ASGI: the door of the gateway for the SDKs of OpenAI and Anthropic.

The hot path parses a request once, writes it once and forwards the provider's bytes. No framework
and no validation library is between the socket and the router.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import orjson

from agentcore.kit.clock import Clock
from agentcore.kit.errors import AgentCoreError, MethodNotAllowed, NotFound, RequestTooLarge
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.security import principal_of
from agentcore.llm_gateway.answering import CallerGone, Reader, Watches, relay, told
from agentcore.llm_gateway.asgi import JSON_TYPE, Application, Header, Receive, Scope, Send
from agentcore.llm_gateway.asking import call_of
from agentcore.llm_gateway.chat_wire import error_status
from agentcore.llm_gateway.dialects.chat import CHAT
from agentcore.llm_gateway.dialects.formats import FORMATS, form_of
from agentcore.llm_gateway.dialects.port import Format
from agentcore.llm_gateway.errors import InvalidChatRequest, UnknownModel
from agentcore.llm_gateway.models import ChatCall
from agentcore.llm_gateway.providers.routed import Answer
from agentcore.llm_gateway.terms import terms_of
from agentcore.llm_gateway.wire import PlainReply

# A stream holds its place for as long as its caller takes what arrives.
STALLED_SECONDS = 30.0
NO_SOCKETS = 1008


@dataclass(frozen=True, slots=True)
class Route:
    """``path`` is what metrics and logs show for a request."""

    path: str


ROUTES = {path: Route(path) for path in FORMATS}
EXPLAIN = Route("/v1/route:explain")
MODELS = Route("/v1/models")
MODEL = Route("/v1/models/{model}")


class Front(Protocol):
    """A router, or what stands before one."""

    async def dispatch(self, call: ChatCall) -> Answer: ...

    def explain(self, call: ChatCall) -> JsonObject: ...

    def models(self) -> Mapping[str, tuple[str, ...]]: ...


class OpenAIEndpoint:
    """An ASGI application for everything under ``/v1``; expects the path unstripped."""

    def __init__(
        self,
        router: Callable[[], Front],
        *,
        clock: Clock,
        max_body_bytes: int,
        stalled_seconds: float = STALLED_SECONDS,
    ) -> None:
        self._router = router
        self._clock = clock
        self._max_body_bytes = max_body_bytes
        self._stalled_seconds = stalled_seconds
        self._watches = Watches()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await receive()
            await send({"type": "websocket.close", "code": NO_SOCKETS, "reason": "HTTP only"})
            return
        try:
            await self._serve(scope, receive, send)
        except AgentCoreError as error:
            await refuse(scope["path"], send, error)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path in ROUTES:
            scope["route"] = ROUTES[path]
            _only(scope, "POST")
            await self._ask(FORMATS[path], scope, receive, send)
        elif path == EXPLAIN.path:
            scope["route"] = EXPLAIN
            _only(scope, "POST")
            call = call_of(await self._read(receive), scope, CHAT, self._clock)
            await _json(send, 200, orjson.dumps(self._router().explain(call)))
        elif path == MODELS.path:
            scope["route"] = MODELS
            _only(scope, "GET")
            await self._models(scope, send)
        elif path.startswith("/v1/models/"):
            scope["route"] = MODEL
            _only(scope, "GET")
            await self._model(path.removeprefix("/v1/models/"), scope, send)
        else:
            raise NotFound(
                f"there is no {path}",
                hint=f"served here: POST {', '.join(ROUTES)}, {EXPLAIN.path}; GET /v1/models",
            )

    async def _ask(self, form: Format, scope: Scope, receive: Receive, send: Send) -> None:
        call = call_of(await self._read(receive), scope, form, self._clock)
        await self._watches.over(self._answer(call, form, send), receive)

    async def _answer(self, call: ChatCall, form: Format, send: Send) -> None:
        answer = await self._router().dispatch(call)
        reply = answer.reply
        if isinstance(reply, PlainReply):
            headers = [JSON_TYPE, (b"content-length", b"%d" % len(reply.body)), *told(answer)]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": reply.body})
            return
        reader = Reader(send, self._stalled_seconds)
        with suppress(CallerGone):
            async with reader.patience():
                await relay(answer, reply, form, reader.send)

    async def _read(self, receive: Receive) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise InvalidChatRequest("the connection closed inside the request's body")
            part = message.get("body", b"")
            size += len(part)
            if size > self._max_body_bytes:
                raise RequestTooLarge(f"the body exceeds {self._max_body_bytes} bytes")
            parts.append(part)
            if not message.get("more_body", False):
                return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _models(self, scope: Scope, send: Send) -> None:
        served = self._served(scope)
        data = [_model(model, providers) for model, providers in served.items()]
        ends = {"first_id": next(iter(served), None), "last_id": next(reversed(list(served)), None)}
        listed = {"object": "list", "data": data, "has_more": False, **ends}
        await _json(send, 200, orjson.dumps(listed))

    async def _model(self, model: str, scope: Scope, send: Send) -> None:
        providers = self._served(scope).get(model)
        if providers is None:
            raise UnknownModel(
                f"no provider serves the model {model!r}", hint="GET /v1/models lists them"
            )
        await _json(send, 200, orjson.dumps(_model(model, providers)))

    def _served(self, scope: Scope) -> Mapping[str, tuple[str, ...]]:
        """What the caller may ask for."""
        served, terms = self._router().models(), terms_of(principal_of(scope))
        if not terms.models:
            return served
        return {model: who for model, who in served.items() if terms.allow(model)}


class OpenAIDoor:
    """ASGI middleware that answers ``/v1/*`` itself and hands on everything else.

    To be added first, so that it stands behind all other middleware and in front of the
    framework's own, which costs as much as the rest of the way.
    """

    def __init__(self, app: Application, *, endpoint: Application) -> None:
        self._app = app
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        here = scope["type"] == "http" and scope["path"].startswith("/v1/")
        await (self._endpoint if here else self._app)(scope, receive, send)


async def refuse(path: str, send: Send, error: AgentCoreError) -> None:
    """Answer with ``error`` as the SDKs that ask for ``path`` parse it."""
    headers: list[Header] = []
    if error.retry_after_header is not None:
        headers.append((b"retry-after", error.retry_after_header.encode()))
    provider = error.context.get("provider")
    if isinstance(provider, str):
        headers.append((b"x-agentcore-provider", provider.encode()))
    ratelimit = error.context.get("ratelimit")
    if isinstance(ratelimit, dict):
        headers += [(name.encode(), str(value).encode()) for name, value in ratelimit.items()]
    allow = error.context.get("allow")
    if isinstance(allow, str):
        headers.append((b"allow", allow.encode()))
    await _json(send, error_status(error), form_of(path).error_body(error), headers)


def _model(model: str, providers: tuple[str, ...]) -> dict[str, object]:
    """As OpenAI's SDKs and Anthropic's read it: they require different members."""
    return {
        "id": model,
        "object": "model",
        "type": "model",
        "display_name": model,
        # No provider of a self-hosted model tells when it was made.
        "created": 0,
        "created_at": "1970-01-01T00:00:00Z",
        "owned_by": providers[0],
    }


def _only(scope: Scope, method: str) -> None:
    if scope["method"] != method:
        raise MethodNotAllowed(
            f"{scope['path']} takes {method}, not {scope['method']}", allow=method
        )


async def _json(send: Send, status: int, body: bytes, headers: Sequence[Header] = ()) -> None:
    start = [JSON_TYPE, (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})
