"""``/v1`` as plain ASGI: the OpenAI-compatible door of the gateway.

The hot path parses a request once, writes it once and forwards the provider's bytes. No framework
and no validation library is between the socket and the router.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import orjson

from agentcore.kit.clock import Clock
from agentcore.kit.errors import AgentCoreError, MethodNotAllowed, NotFound, RequestTooLarge
from agentcore.kit.security import Principal, principal_of
from agentcore.llm_gateway.chat_wire import (
    error_body,
    error_event,
    error_status,
    is_marked_private,
    max_tokens_of,
    parse_body,
    wants_usage,
)
from agentcore.llm_gateway.errors import InvalidChatRequest, UnknownModel
from agentcore.llm_gateway.models import PRIORITIES, ChatCall, Priority
from agentcore.llm_gateway.providers.hybrid_router import Answer, HybridRouter, RoutedStream
from agentcore.llm_gateway.wire import PlainReply

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON_TYPE: Header = (b"content-type", b"application/json")
STREAM_HEADERS: list[Header] = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    # nginx would collect the events otherwise.
    (b"x-accel-buffering", b"no"),
]
# A caller that leaves earlier is noticed then: a watch for every quick answer costs more.
WATCH_AFTER_SECONDS = 0.05
# A stream holds its place for as long as its caller takes what arrives.
STALLED_SECONDS = 30.0
GLANCES = 4
PRIORITY_HEADERS: dict[bytes, Priority] = {b"high": "high", b"medium": "medium", b"low": "low"}
NO_SOCKETS = 1008
NO = frozenset({b"", b"0", b"false", b"no"})


class CallerGone(Exception):
    """The client closed the connection before its answer was complete, or no longer reads it."""


@dataclass(frozen=True, slots=True)
class Route:
    """``path`` is what metrics and logs show for a request."""

    path: str


CHAT = Route("/v1/chat/completions")
MODELS = Route("/v1/models")
MODEL = Route("/v1/models/{model}")


class OpenAIEndpoint:
    """An ASGI application for everything under ``/v1``; expects the path unstripped."""

    def __init__(
        self,
        router: Callable[[], HybridRouter],
        *,
        clock: Clock,
        max_body_bytes: int,
        stalled_seconds: float = STALLED_SECONDS,
    ) -> None:
        self._router = router
        self._clock = clock
        self._max_body_bytes = max_body_bytes
        self._stalled_seconds = stalled_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await receive()
            await send({"type": "websocket.close", "code": NO_SOCKETS, "reason": "HTTP only"})
            return
        try:
            await self._serve(scope, receive, send)
        except AgentCoreError as error:
            await refuse(send, error)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path == CHAT.path:
            scope["route"] = CHAT
            _only(scope, "POST")
            await self._chat(scope, receive, send)
        elif path == MODELS.path:
            scope["route"] = MODELS
            _only(scope, "GET")
            await self._models(send)
        elif path.startswith("/v1/models/"):
            scope["route"] = MODEL
            _only(scope, "GET")
            await self._model(path.removeprefix("/v1/models/"), send)
        else:
            raise NotFound(
                f"there is no {path}",
                hint="served here: POST /v1/chat/completions, GET /v1/models",
            )

    async def _chat(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = await self._read(receive)
        call = _call(raw, scope, self._clock)
        loop = asyncio.get_running_loop()
        # An error would leave the group wrapped; it is kept out of it instead.
        failure: AgentCoreError | None = None
        try:
            async with asyncio.TaskGroup() as group:
                watch = _Watch(group, receive)
                timer = loop.call_later(WATCH_AFTER_SECONDS, watch.begin)
                try:
                    await self._answer(call, send)
                except AgentCoreError as error:
                    failure = error
                finally:
                    timer.cancel()
                    watch.end()
        except* CallerGone:
            # Leaving the group has cancelled the upstream call; nobody is there to be told.
            failure = None
        if failure is not None:
            raise failure

    async def _answer(self, call: ChatCall, send: Send) -> None:
        answer = await self._router().dispatch(call)
        reply = answer.reply
        if isinstance(reply, PlainReply):
            headers = [JSON_TYPE, (b"content-length", b"%d" % len(reply.body)), *_told(answer)]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": reply.body})
            return
        reader = _Reader(send, self._stalled_seconds)
        async with reader.patience():
            await _relay(answer, reply, reader.send)

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

    async def _models(self, send: Send) -> None:
        served = self._router().models()
        data = [_model(model, providers) for model, providers in served.items()]
        await _json(send, 200, orjson.dumps({"object": "list", "data": data}))

    async def _model(self, model: str, send: Send) -> None:
        providers = self._router().models().get(model)
        if providers is None:
            raise UnknownModel(
                f"no provider serves the model {model!r}", hint="GET /v1/models lists them"
            )
        await _json(send, 200, orjson.dumps(_model(model, providers)))


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


async def refuse(send: Send, error: AgentCoreError) -> None:
    """Answer with ``error`` in the shape that OpenAI's SDKs parse; for the app's own refusals."""
    headers: list[Header] = []
    if error.retry_after_header is not None:
        headers.append((b"retry-after", error.retry_after_header.encode()))
    provider = error.context.get("provider")
    if isinstance(provider, str):
        headers.append((b"x-agentcore-provider", provider.encode()))
    allow = error.context.get("allow")
    if isinstance(allow, str):
        headers.append((b"allow", allow.encode()))
    await _json(send, error_status(error), error_body(error), headers)


class _Watch:
    """Waits for the caller to leave, once the answer has taken a while."""

    __slots__ = ("_group", "_receive", "_task")

    def __init__(self, group: asyncio.TaskGroup, receive: Receive) -> None:
        self._group = group
        self._receive = receive
        self._task: asyncio.Task[NoReturn] | None = None

    def begin(self) -> None:
        self._task = self._group.create_task(self._leaving())

    def end(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _leaving(self) -> NoReturn:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        raise CallerGone


class _Reader:
    """A caller that counts as gone when it takes nothing of its stream for ``seconds``.

    Looked at now and then: a timer of its own for every part would cost more than the part.
    """

    __slots__ = ("_limit", "_loop", "_seconds", "_send", "_since", "_timer")

    def __init__(self, send: Send, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._send = send
        self._seconds = seconds
        self._since: float | None = None
        self._limit = asyncio.timeout(None)
        self._timer = self._loop.call_later(seconds / GLANCES, self._look)

    async def send(self, message: Message) -> None:
        self._since = self._loop.time()
        await self._send(message)
        self._since = None

    @asynccontextmanager
    async def patience(self) -> AsyncIterator[None]:
        try:
            async with self._limit:
                yield
        except TimeoutError as exc:
            raise CallerGone from exc
        finally:
            self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        if self._since is not None and now - self._since >= self._seconds:
            self._limit.reschedule(now)
        else:
            self._timer = self._loop.call_later(self._seconds / GLANCES, self._look)


async def _relay(answer: Answer, stream: RoutedStream, send: Send) -> None:
    """Forward a stream. After its begin a failure can only be told as an event, without [DONE]."""
    try:
        headers = [*STREAM_HEADERS, *_told(answer)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        try:
            while block := await stream.next():
                await send({"type": "http.response.body", "body": block, "more_body": True})
        except AgentCoreError as error:
            event = error_event(error)
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        stream.close()


def _call(raw: bytes, scope: Scope, clock: Clock) -> ChatCall:
    body = parse_body(raw)
    presented: list[Header] = scope["headers"]
    headers = dict(presented)
    principal = principal_of(scope)
    principal.require("llm")
    return ChatCall(
        model=str(body["model"]),
        body=body,
        stream=body.get("stream") is True,
        wants_usage=wants_usage(body),
        requires_privacy=_private(presented, principal) or is_marked_private(body),
        priority=_priority(headers),
        max_tokens=max_tokens_of(body),
        prompt_bytes=len(raw),
        tenant=principal.tenant,
        subject=principal.subject,
        trace_id=str(scope["state"].get("trace_id", "")),
        deadline=_deadline(headers, clock),
    )


def _private(headers: Iterable[Header], principal: Principal) -> bool:
    """Anything but a plain no makes a request private: a typing error must not expose it.

    Of several headers one is enough, whatever the others say.
    """
    given = [value for name, value in headers if name == b"x-agentcore-private"]
    return principal.private or any(value.strip().lower() not in NO for value in given)


def _priority(headers: MutableMapping[bytes, bytes]) -> Priority:
    given = headers.get(b"x-agentcore-priority")
    if given is None:
        return "medium"
    priority = PRIORITY_HEADERS.get(given.strip().lower())
    if priority is not None:
        return priority
    raise InvalidChatRequest(
        "the header x-agentcore-priority has an unknown value",
        hint=f"it is one of: {', '.join(PRIORITIES)}",
    )


def _deadline(headers: MutableMapping[bytes, bytes], clock: Clock) -> float | None:
    given = headers.get(b"x-agentcore-timeout")
    if given is None:
        return None
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 86_400:
        raise InvalidChatRequest(
            "the header x-agentcore-timeout must be a number of seconds above 0"
        )
    return clock.monotonic() + seconds


def _told(answer: Answer) -> list[Header]:
    """What is known about the call when its answer begins."""
    headers = [
        (b"x-agentcore-provider", answer.provider.encode()),
        (b"x-agentcore-reason", answer.reason.encode()),
        (b"x-agentcore-request-id", str(answer.id).encode()),
    ]
    if answer.cost is not None:
        headers.append((b"x-agentcore-cost-usd", format(answer.cost, "f").encode()))
    return headers


def _model(model: str, providers: tuple[str, ...]) -> dict[str, object]:
    # `created` is required by the SDKs; no provider of a self-hosted model tells it.
    return {"id": model, "object": "model", "created": 0, "owned_by": providers[0]}


def _only(scope: Scope, method: str) -> None:
    if scope["method"] != method:
        raise MethodNotAllowed(
            f"{scope['path']} takes {method}, not {scope['method']}", allow=method
        )


async def _json(send: Send, status: int, body: bytes, headers: list[Header] | None = None) -> None:
    start = [JSON_TYPE, (b"content-length", b"%d" % len(body)), *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})
