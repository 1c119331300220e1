"""Answers that are given again: exact matches, asked for by the request, within one tenant.

Kept in this process's memory only: nothing of an answer reaches another store. A private call and
an open one never share an answer, and nobody gets an answer of a provider that the call may not
use. Identical calls that run at once are one call.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping
from typing import NamedTuple, Protocol

import orjson

from agentcore.kit.clock import Clock
from agentcore.kit.errors import DeadlineExceeded
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject, object_in
from agentcore.llm_gateway.accounts import NOTHING, Accounts, Outcome
from agentcore.llm_gateway.errors import InvalidChatRequest
from agentcore.llm_gateway.models import ChatCall, TokenUsage
from agentcore.llm_gateway.policy import Policy
from agentcore.llm_gateway.providers.routed import Answer, Streamed
from agentcore.llm_gateway.traffic import CacheConfig
from agentcore.llm_gateway.wire import PlainReply

NO_REPLY = PlainReply(b"", {}, None)
# What an entry costs beside its answer's bytes, measured: its key, who answered, what it cost.
ENTRY_BYTES = 3072


class Key(NamedTuple):
    digest: bytes
    tenant: str
    private: bool
    dialect: str
    stream: bool
    wants_usage: bool
    policy: Policy
    beta: str


class Kept(NamedTuple):
    """``body`` alone is kept of an answer: parsed it is ten times as large."""

    answer: Answer
    body: bytes
    usage: TokenUsage | None
    at: float

    @property
    def size(self) -> int:
        return ENTRY_BYTES + len(self.body)


class _Flight:
    """One call that others wait for."""

    def __init__(self) -> None:
        self.landed = asyncio.Event()
        # Its caller has left: nobody knows whether an answer would have been of use.
        self.left = False


class Router(Protocol):
    async def dispatch(self, call: ChatCall) -> Answer: ...

    def may_use(self, call: ChatCall, name: str) -> bool:
        """Whether ``call`` may have an answer of the provider ``name``."""
        ...

    def marked(self, call: ChatCall) -> ChatCall:
        """``call``, private if a rule says so."""
        ...

    def explain(self, call: ChatCall) -> JsonObject: ...

    def models(self) -> Mapping[str, tuple[str, ...]]: ...


class ResponseCache:
    """Stands before ``router`` and does what it does."""

    def __init__(
        self, config: CacheConfig, router: Router, *, accounts: Accounts, clock: Clock, ids: Ids
    ) -> None:
        self._config = config
        self._router = router
        self._accounts = accounts
        self._clock = clock
        self._ids = ids
        self._kept: OrderedDict[Key, Kept] = OrderedDict()
        self._size = 0
        self._flights: dict[Key, _Flight] = {}

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return self._size

    def explain(self, call: ChatCall) -> JsonObject:
        return self._router.explain(call)

    def models(self) -> Mapping[str, tuple[str, ...]]:
        return self._router.models()

    def dispatch(self, call: ChatCall) -> Coroutine[None, None, Answer]:
        """As the router does it; a call that asks for nothing of this passes through."""
        if call.cache_seconds is None or not self._config.bytes:
            return self._router.dispatch(call)
        return self._dispatched(call)

    async def _dispatched(self, call: ChatCall) -> Answer:
        # Before anything is looked up: what a rule makes private is so here, too.
        call = self._router.marked(call)
        key = _key(call)
        if call.stream:
            found = self._find(key, call)
            return found or self._recorded(key, await self._router.dispatch(call))
        return await self._once(key, call)

    async def _once(self, key: Key, call: ChatCall) -> Answer:
        """Whoever comes while the same is asked waits for its answer."""
        while (found := self._find(key, call)) is None:
            flight = self._flights.get(key)
            if flight is None:
                return await self._led(key, call)
            await self._waited(flight, call)
            if not flight.left:
                # Not one after the other: each may take as long to fail, or to be too large.
                return self._find(key, call) or await self._router.dispatch(call)
        return found

    async def _led(self, key: Key, call: ChatCall) -> Answer:
        flight = self._flights[key] = _Flight()
        try:
            answer = await self._router.dispatch(call)
            if isinstance(answer.reply, PlainReply):
                self._keep(key, answer, answer.reply.body, answer.reply.usage)
        except asyncio.CancelledError:
            flight.left = True
            raise
        finally:
            del self._flights[key]
            flight.landed.set()
        return answer

    async def _waited(self, flight: _Flight, call: ChatCall) -> None:
        left = None if call.deadline is None else call.deadline - self._clock.monotonic()
        try:
            async with asyncio.timeout(left):
                await flight.landed.wait()
        except TimeoutError as exc:
            raise DeadlineExceeded("the request's time is used up") from exc

    def _recorded(self, key: Key, answer: Answer) -> Answer:
        if isinstance(answer.reply, PlainReply):
            return answer

        stream = answer.reply

        def whole(body: bytes) -> None:
            self._keep(key, answer._replace(outcome=stream.outcome), body)

        return answer._replace(reply=_Recorded(stream, self._config.largest, whole))

    def _find(self, key: Key, call: ChatCall) -> Answer | None:
        kept = self._kept.get(key)
        if kept is None or call.cache_seconds is None:
            return None
        now = self._clock.monotonic()
        age = now - kept.at
        if age > self._config.longest:
            self._drop(key)
            return None
        if age > call.cache_seconds or not self._router.may_use(call, kept.answer.provider):
            return None
        self._kept.move_to_end(key)
        outcome = kept.answer.outcome._replace(
            id=self._ids.new(), call=call, began=now, first_chunk=now
        )
        self._accounts.repeated(outcome)
        reply = _Repeated(kept.body, outcome) if key.stream else _parsed(kept)
        return kept.answer._replace(outcome=outcome, reply=reply, cost=NOTHING, cached=True)

    def _keep(self, key: Key, answer: Answer, body: bytes, usage: TokenUsage | None = None) -> None:
        if len(body) > self._config.largest:
            return
        if key in self._kept:
            self._drop(key)
        # The caller's document is not needed again.
        bare = answer.outcome.call._replace(body={})
        known = answer._replace(
            outcome=answer.outcome._replace(call=bare), reply=NO_REPLY, limits=()
        )
        kept = self._kept[key] = Kept(known, body, usage, self._clock.monotonic())
        self._size += kept.size
        while self._size > self._config.bytes:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Key) -> None:
        self._size -= self._kept.pop(key).size


class _Recorded:
    """A stream that is kept when it has come to its end."""

    def __init__(self, stream: Streamed, largest: int, whole: Callable[[bytes], None]) -> None:
        self._stream = stream
        self._left = largest
        self._parts: list[bytes] = []
        self._whole = whole

    @property
    def outcome(self) -> Outcome:
        return self._stream.outcome

    async def next(self) -> bytes:
        block = await self._stream.next()
        self._left -= len(block)
        if self._left >= 0:
            self._parts.append(block)
            if not block:
                self._whole(b"".join(self._parts))
        return block

    def close(self) -> None:
        self._stream.close()


class _Repeated:
    def __init__(self, body: bytes, outcome: Outcome) -> None:
        self._body = body
        self.outcome = outcome

    async def next(self) -> bytes:
        body, self._body = self._body, b""
        return body

    def close(self) -> None:
        self._body = b""


def _parsed(kept: Kept) -> PlainReply:
    return PlainReply(kept.body, object_in(kept.body), kept.usage)


def _key(call: ChatCall) -> Key:
    """What must be the same for an answer to be the same; the names of callers are not.

    Raises:
        InvalidChatRequest: the body is nested deeper than can be written.
    """
    body = {name: value for name, value in call.body.items() if name not in {"user", "metadata"}}
    try:
        written = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    except TypeError as exc:
        raise InvalidChatRequest("the body is nested too deep") from exc
    return Key(
        hashlib.sha256(written).digest(),
        call.tenant,
        call.requires_privacy,
        call.dialect,
        call.stream,
        call.wants_usage,
        call.policy,
        call.beta,
    )
