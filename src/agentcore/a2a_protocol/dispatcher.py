"""From a parsed call to its answer: the protocol's own methods, and AgentCore's typed ones."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

import structlog
from pydantic import BaseModel, ValidationError

from agentcore.a2a_protocol.envelope import (
    SPECIFIED,
    Call,
    Family,
    Refusal,
    error_response,
    parse,
    result_response,
)
from agentcore.a2a_protocol.errors import (
    InvalidParams,
    InvalidRequest,
    SessionRequired,
    UnknownMethod,
    VersionNotSupported,
)
from agentcore.a2a_protocol.metrics import A2AMetrics
from agentcore.a2a_protocol.models.config import A2AConfig
from agentcore.a2a_protocol.preflight import check_params
from agentcore.kit.clock import Clock
from agentcore.kit.errors import AgentCoreError, InternalError
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.kit.security import Principal
from agentcore.kit.server_events import EventResponse, ServerEvent

if TYPE_CHECKING:
    from starlette.responses import Response

P = TypeVar("P", bound=BaseModel)
# They describe the call and not what is asked of the method; accepted in ``params`` themselves
# and in their member ``a2a_context``.
CONTEXT_MEMBERS = ("trace_id", "source_agent", "target_agent", "session_id", "timestamp")
SESSION_METHODS = frozenset(
    {
        "agent.delegate",
        "agent.discover",
        "agent.register",
        "task.cancel",
        "task.execute",
        "task.query",
    }
)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sends a request, what its headers say, and the agent whose own address it came to.

    ``base`` is the address at which the caller reaches the service; ``family`` the version of the
    protocol that the call is of.
    """

    principal: Principal
    request_id: str = ""
    trace_id: str = ""
    traceparent: str = ""
    version: str = ""
    agent: str = ""
    base: str = ""
    family: str = ""
    headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CallContext:
    principal: Principal
    request_id: str = ""
    trace_id: str = ""
    traceparent: str = ""
    source_agent: str | None = None
    target_agent: str | None = None
    session_id: str | None = None
    timestamp: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """``body`` is a JSON document, or nothing for notifications; a ``stream`` answers itself."""

    body: bytes | None = None
    stream: Response | None = None
    code: str = "ok"


class ProtocolMethods(Protocol):
    """The methods of the A2A specification."""

    async def answer(self, call: Call, caller: Caller) -> Answer: ...


class EventStream(Protocol):
    """What a streaming method answers with: its events, and its result when they have ended."""

    def __aiter__(self) -> AsyncGenerator[ServerEvent]: ...

    def result(self) -> JsonValue: ...


SessionHandler = Callable[[str, JsonObject, CallContext], Awaitable[JsonObject]]
Run = Callable[[JsonObject, CallContext], Awaitable[JsonValue]]
RunStream = Callable[[JsonObject, CallContext], Awaitable[EventStream]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    run: Run
    scope: str
    declared: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamMethod:
    run: RunStream
    scope: str
    declared: frozenset[str]


class MethodRegistry:
    """AgentCore's methods: their names contain a dot."""

    def __init__(self) -> None:
        self._methods: dict[str, Method] = {}
        self._streams: dict[str, StreamMethod] = {}
        self._session_handler: SessionHandler | None = None
        self._session_methods: frozenset[str] = frozenset()

    def add(
        self,
        name: str,
        params: type[P],
        handler: Callable[[P, CallContext], Awaitable[JsonValue]],
        *,
        scope: str,
    ) -> None:
        """Answer ``name`` by ``handler``, whose caller needs ``scope``.

        Members of the call's context reach ``params`` only where it declares them.
        """

        async def run(raw: JsonObject, context: CallContext) -> JsonValue:
            return await handler(_validated(params, raw), context)

        self._check_new(name)
        self._methods[name] = Method(run=run, scope=scope, declared=_declared(params))

    def add_stream(
        self,
        name: str,
        params: type[P],
        handler: Callable[[P, CallContext], Awaitable[EventStream]],
        *,
        scope: str,
    ) -> None:
        """As :meth:`add`, for a method that answers with Server-Sent Events."""

        async def run(raw: JsonObject, context: CallContext) -> EventStream:
            return await handler(_validated(params, raw), context)

        self._check_new(name)
        self._streams[name] = StreamMethod(run=run, scope=scope, declared=_declared(params))

    def set_session_handler(
        self, handler: SessionHandler, *, methods: Collection[str] = SESSION_METHODS
    ) -> None:
        """Hand calls of ``methods`` that carry a ``session_id`` to ``handler`` instead."""
        self._session_handler = handler
        self._session_methods = frozenset(methods)

    def names(self) -> list[str]:
        inside_sessions = self._session_methods if self._session_handler else frozenset()
        return sorted(self._methods.keys() | self._streams.keys() | inside_sessions)

    def streams(self, name: str) -> bool:
        return name in self._streams

    async def follow(self, name: str, params: JsonObject, caller: Caller) -> EventStream:
        """The events of the streaming method ``name``."""
        method = self._streams[name]
        asked, context = split_context(params, caller, method.declared)
        caller.principal.require(method.scope)
        return await method.run(asked, context)

    async def call(self, name: str, params: JsonObject, caller: Caller) -> JsonValue:
        method = self._methods.get(name)
        declared = method.declared if method else frozenset[str]()
        asked, context = split_context(params, caller, declared)
        if context.session_id and self._session_handler and name in self._session_methods:
            return await self._session_handler(name, asked, context)
        if name in self._streams:
            raise _stream_in_whole(name)
        if method is None:
            if name in self._session_methods:
                raise SessionRequired(
                    f"{name} works inside an environment session",
                    hint="open one with environment.open and pass its session_id",
                )
            raise UnknownMethod(
                f"there is no method {name[:80]!r}", hint=f"there are: {', '.join(self.names())}"
            )
        caller.principal.require(method.scope)
        return await method.run(asked, context)

    def _check_new(self, name: str) -> None:
        if "." not in name or name in self._methods or name in self._streams:
            raise ValueError(f"{name!r} has no dot, or is registered already")


class Dispatcher:
    def __init__(
        self,
        registry: MethodRegistry,
        protocol: ProtocolMethods,
        *,
        config: A2AConfig,
        metrics: A2AMetrics,
        clock: Clock,
    ) -> None:
        self._registry = registry
        self._protocol = protocol
        self._config = config
        self._metrics = metrics
        self._clock = clock

    async def answer(self, raw: bytes, caller: Caller) -> Answer:
        """Answer the body of one request, be it a call or a batch; never raises."""
        parsed = parse(raw, self._config)
        if not parsed.batch:
            return await self._measured(parsed.items[0], caller)
        items = [self._answered_whole(item) for item in parsed.items]
        answers = [await self._measured(item, caller) for item in items]
        bodies = [answer.body for answer in answers if answer.body is not None]
        return Answer(body=b"[" + b",".join(bodies) + b"]" if bodies else None)

    def _answered_whole(self, item: Call | Refusal) -> Call | Refusal:
        """An item of a batch; one that streams its answer is refused."""
        if isinstance(item, Refusal) or not self._registry.streams(item.method):
            return item
        return Refusal(error=_stream_in_whole(item.method), id=item.id, silent=item.notification)

    async def _measured(self, item: Call | Refusal, caller: Caller) -> Answer:
        family = item.family if isinstance(item, Call) else Family.NONE
        began = self._clock.monotonic()
        answer = await self._answered(item, caller)
        self._metrics.answered(family.value, answer.code, self._clock.monotonic() - began)
        silent = item.notification if isinstance(item, Call) else item.silent
        return Answer(code=answer.code) if silent else answer

    async def _answered(self, item: Call | Refusal, caller: Caller) -> Answer:
        try:
            if isinstance(item, Refusal):
                raise item.error
            return await self._run(item, caller)
        except AgentCoreError as error:
            return Answer(body=error_response(item.id, error), code=str(error.rpc_code))

    async def _run(self, call: Call, caller: Caller) -> Answer:
        try:
            if self._registry.streams(call.method):
                return await self._streamed(call, caller)
            if call.family is Family.AGENTCORE:
                result = await self._registry.call(call.method, call.params, caller)
                return Answer(body=result_response(call.id, result))
            if call.family is Family.NONE:
                raise UnknownMethod(f"there is no method {call.method[:80]!r}")
            caller.principal.require("a2a")
            if call.method not in SPECIFIED:
                # Of no version: another one would not help.
                raise UnknownMethod(f"there is no method {call.method[:80]!r} in A2A {call.family}")
            check_version(call, caller.version)
            if call.streaming and call.notification:
                return Answer()
            check_params(call)
            return await self._protocol.answer(call, caller)
        except AgentCoreError:
            raise
        except Exception as exc:
            log.exception("a call failed", method=call.method[:80])
            raise InternalError(
                "the service failed to answer", hint=f"its log knows more: {caller.request_id}"
            ) from exc

    async def _streamed(self, call: Call, caller: Caller) -> Answer:
        if call.notification:
            return Answer()
        events = await self._registry.follow(call.method, call.params, caller)

        async def told() -> AsyncGenerator[ServerEvent]:
            async with aclosing(aiter(events)) as each:
                async for event in each:
                    yield event
            yield ServerEvent(result_response(call.id, events.result()))

        return Answer(stream=EventResponse(told()))


def split_context(
    params: JsonObject, caller: Caller, declared: Collection[str]
) -> tuple[JsonObject, CallContext]:
    """What is asked of the method, and the context of the call; ``declared`` members are both."""
    nested = params.get("a2a_context") or {}
    if not isinstance(nested, dict):
        raise InvalidParams("a2a_context must be an object")
    found: dict[str, str] = {}
    for name in CONTEXT_MEMBERS:
        value = params.get(name, nested.get(name))
        if value is None:
            continue
        if isinstance(value, bool | list | dict) or (
            not isinstance(value, str) and name != "timestamp"
        ):
            raise InvalidParams(f"{name} must be a string")
        found[name] = str(value)
    context = CallContext(
        principal=caller.principal,
        request_id=caller.request_id,
        trace_id=found.pop("trace_id", caller.trace_id),
        traceparent=caller.traceparent,
        **found,
    )
    hidden = {"a2a_context", *CONTEXT_MEMBERS} - set(declared)
    asked = {name: value for name, value in params.items() if name not in hidden}
    for name in set(declared) & nested.keys() & set(CONTEXT_MEMBERS):
        asked.setdefault(name, nested[name])
    return asked, context


def check_version(call: Call, presented: str) -> None:
    """An absent version means 0.3; a patch number says nothing about the wire."""
    spoken = ".".join((presented.strip() or Family.V0_3.value).split(".")[:2])
    if spoken != call.family.value:
        raise VersionNotSupported(
            f"{call.method} belongs to A2A {call.family.value}, the request says {spoken[:20]!r}",
            hint=f"send the header A2A-Version: {call.family.value}",
        )


def _declared(params: type[BaseModel]) -> frozenset[str]:
    aliases = {field.alias for field in params.model_fields.values() if field.alias}
    return frozenset(params.model_fields) | aliases


def _stream_in_whole(name: str) -> InvalidRequest:
    return InvalidRequest(f"{name} streams its answer, which a batch cannot hold")


def _validated(model: type[P], raw: JsonObject) -> P:
    try:
        return model.model_validate(raw)
    except ValidationError as exc:
        faults = exc.errors(include_url=False, include_context=False, include_input=False)
        where = ".".join(str(step) for step in faults[0]["loc"]) or "params"
        problems: list[JsonValue] = [
            {"at": ".".join(str(step) for step in fault["loc"]), "what": fault["msg"]}
            for fault in faults[:20]
        ]
        raise InvalidParams(f"{where}: {faults[0]['msg']}", problems=problems) from exc
