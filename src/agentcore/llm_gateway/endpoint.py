"""One base URL of a provider: a call goes out, a reply whose kind is known comes back.

Whatever is wrong before a stream's first content is raised by ``send``, so that the caller may
still choose somebody else; what goes wrong later is raised by ``StreamReply.next``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agentcore.kit.clock import Clock
from agentcore.kit.errors import AgentCoreError, DeadlineExceeded
from agentcore.llm_gateway.admission import Full, Gate, Pass
from agentcore.llm_gateway.catalogue import MODELS, Catalogue
from agentcore.llm_gateway.errors import (
    UpstreamError,
    UpstreamMalformed,
    UpstreamRateLimited,
    UpstreamTimeout,
)
from agentcore.llm_gateway.models import ChatCall, Dialect, Timeouts, TokenUsage
from agentcore.llm_gateway.transport import Exchange, Transport
from agentcore.llm_gateway.wire import PlainReply, Scanner, Wire

ERROR_BODY_SECONDS = 5.0
# After [DONE] only the connection's fate is open.
AFTERMATH_SECONDS = 1.0
# What may come before a stream's first content: roles and signs of life, all kept until then.
LONGEST_PRELUDE = 1024 * 1024
# More pages of models than anybody has: the list runs in a circle.
MOST_PAGES = 100
# Timers of the event loop may fire this much early by the monotonic clock.
TICK = 0.005


class StreamReply:
    """A stream whose first content has arrived. Read it to its end or ``close`` it."""

    def __init__(
        self,
        exchange: Exchange,
        scanner: Scanner,
        held: bytes,
        limits: Limits,
        *,
        ended: bool,
        place: Pass,
    ) -> None:
        self._exchange = exchange
        self._scanner = scanner
        self._held = held
        self._limits = limits
        self._ended = ended
        self._place = place
        self._answered = False

    @property
    def usage(self) -> TokenUsage | None:
        return self._scanner.usage

    async def next(self) -> bytes:
        """The next events as bytes; empty when the answer is complete.

        Raises:
            UpstreamError: the stream failed, fell silent or ended before the answer did.
        """
        if self._held:
            held, self._held = self._held, b""
            return held
        scanner = self._scanner
        while not self._ended:
            if scanner.failure is not None:
                raise scanner.failure
            seconds = AFTERMATH_SECONDS if scanner.done else self._limits.silence()
            try:
                data = await self._exchange.chunk(seconds)
            except UpstreamTimeout as error:
                if not scanner.done:
                    raise self._limits.blame(error) from error.__cause__
                # The answer is whole; only the connection is of no more use.
                data = b""
            if data:
                out = scanner.feed(data)
            else:
                self._ended = True
                out = scanner.end()
            if out:
                return out
        if scanner.failure is not None:
            raise scanner.failure
        self._answered = True
        return b""

    def close(self) -> None:
        self._exchange.close()
        self._place.leave(answered=self._answered)


class Limits:
    """What is left of a call's time."""

    __slots__ = ("_clock", "_deadline", "_end", "_first", "_idle", "_provider")

    def __init__(self, timeouts: Timeouts, clock: Clock, call: ChatCall, provider: str) -> None:
        now = clock.monotonic()
        self._provider = provider
        end = now + timeouts.total
        self._clock = clock
        self._deadline = call.deadline
        self._end = end if call.deadline is None else min(end, call.deadline)
        # A plain answer arrives whole: its first byte comes when its last token is done.
        self._first = min(self._end, now + timeouts.first_byte) if call.stream else self._end
        self._idle = timeouts.idle

    def beginning(self) -> float:
        """Seconds until the answer must have begun."""
        return self._until(self._first)

    def silence(self) -> float:
        """Seconds of silence allowed from now on."""
        left = self._end - self._clock.monotonic()
        return self._idle if left > self._idle else self._until(self._end)

    def blame(self, error: UpstreamTimeout) -> AgentCoreError:
        """A provider is not at fault for the little time that the caller gave."""
        if self._deadline is None or self._deadline - self._clock.monotonic() > TICK:
            return error
        return DeadlineExceeded("the request's time is used up")

    def _until(self, moment: float) -> float:
        left = moment - self._clock.monotonic()
        if left <= 0:
            late = f"{self._provider} did not answer in time"
            raise self.blame(UpstreamTimeout(late, provider=self._provider))
        return left


Reply = PlainReply | StreamReply


class Endpoint:
    """``wires`` by the dialects of calls; ``headers`` gives the lines that only this call's
    request has in its head.
    """

    def __init__(
        self,
        transport: Transport,
        wires: Mapping[Dialect, Wire],
        *,
        provider: str,
        timeouts: Timeouts,
        clock: Clock,
        gate: Gate,
        catalogue: Catalogue = MODELS,
        headers: Callable[[ChatCall], bytes] | None = None,
    ) -> None:
        self.gate = gate
        self.wires = wires
        self.dialects = frozenset(wires)
        self._transport = transport
        self._provider = provider
        self._heads: dict[str, bytes] = {}
        self._catalogue = catalogue
        self._headers = headers
        self._timeouts = timeouts
        self._clock = clock

    async def send(self, call: ChatCall, model: str) -> Reply:
        """Ask for ``model``, the provider's own name for what the caller wants.

        The call waits at the gate if it may, and holds its place until its reply is complete or
        closed.

        Raises:
            UpstreamRateLimited: there is no place in time, or the provider says so.
            UpstreamError: the provider failed before its answer began.
        """
        place = self.gate.take(call) or await self._placed(call)
        limits = self._limited(call)
        reply: Reply | None = None
        try:
            reply = await self._ask(call, model, limits, place)
        except UpstreamRateLimited:
            place.overloaded()
            raise
        except UpstreamTimeout as error:
            blamed = limits.blame(error)
            if blamed is error:
                place.overloaded()
            raise blamed from error.__cause__
        finally:
            if not isinstance(reply, StreamReply):
                place.leave(answered=reply is not None)
        return reply

    async def _placed(self, call: ChatCall) -> Pass:
        try:
            return await self.gate.enter(call)
        except Full as full:
            raise UpstreamRateLimited(
                f"{self._provider} carries its {self.gate.limit} calls already",
                provider=self._provider,
                retry_after=full.retry_after,
                own_limit=True,
            ) from full

    async def _ask(self, call: ChatCall, model: str, limits: Limits, place: Pass) -> Reply:
        wire = self.wires[call.dialect]
        body = wire.request(call, model)
        head = self._head(wire.path(call, model))
        own = b"" if self._headers is None else self._headers(call)
        exchange = await self._transport.request(
            head, body, seconds=limits.beginning(), headers=own
        )
        kept = False
        try:
            if exchange.status != 200:
                raise await self._refusal(exchange, wire)
            if call.stream:
                reply = await self._committed(call, exchange, limits, place)
                kept = True
                return reply
            return await self._answer(call, wire, exchange, limits, place)
        finally:
            if not kept:
                exchange.close()

    def _limited(self, call: ChatCall) -> Limits:
        return Limits(self._timeouts, self._clock, call, self._provider)

    async def _answer(
        self, call: ChatCall, wire: Wire, exchange: Exchange, limits: Limits, place: Pass
    ) -> Reply:
        """The whole answer to a call that asked for it whole."""
        answer = wire.answer(await exchange.read(limits.beginning()), call)
        usage = answer.usage
        place.answered(tokens=0 if usage is None else usage.completion_tokens)
        return answer

    def _head(self, path: str) -> bytes:
        head = self._heads.get(path)
        if head is None:
            head = self._heads[path] = self._transport.head("POST", path)
        return head

    async def models(self) -> list[str]:
        """The names under which the provider says it serves."""
        names: list[str] = []
        rest = ""
        for _ in range(MOST_PAGES):
            page = self._catalogue.page(await self._page(rest), self._provider)
            names += page.names
            rest = page.rest
            if not rest:
                return names
        raise UpstreamMalformed(
            f"{self._provider} lists its models without end", provider=self._provider
        )

    async def _page(self, rest: str) -> bytes:
        path = self._catalogue.path
        if rest:
            path += f"{'&' if '?' in path else '?'}{rest}"
        exchange = await self._transport.request(
            self._transport.head("GET", path), b"", seconds=self._timeouts.first_byte
        )
        try:
            if exchange.status != 200:
                raise await self._refusal(exchange, self.wires["chat"])
            return await exchange.read(self._timeouts.first_byte)
        finally:
            exchange.close()

    async def _committed(
        self, call: ChatCall, exchange: Exchange, limits: Limits, place: Pass
    ) -> StreamReply:
        """Read on until the first content: until then nothing has been promised to the caller."""
        scanner = self.wires[call.dialect].scanner(call)
        held = b""
        ended = False
        while not scanner.committed and not ended:
            data = await exchange.chunk(limits.beginning())
            ended = not data
            held += scanner.end() if ended else scanner.feed(data)
            if scanner.failure is not None:
                raise scanner.failure
            if len(held) > LONGEST_PRELUDE and not scanner.committed:
                raise UpstreamMalformed(
                    f"{self._provider} sends {len(held)} bytes without content",
                    provider=self._provider,
                )
        place.began(size=call.prompt_bytes)
        return StreamReply(exchange, scanner, held, limits, ended=ended, place=place)

    async def _refusal(self, exchange: Exchange, wire: Wire) -> UpstreamError:
        raw = await exchange.read(ERROR_BODY_SECONDS)
        retry_after = _seconds(exchange.header(b"retry-after"))
        return wire.failure(exchange.status, raw, retry_after=retry_after)


def json_headers(api_key: str | None) -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    return headers if api_key is None else {**headers, "Authorization": f"Bearer {api_key}"}


def _seconds(header: bytes | None) -> float | None:
    """Retry-After in seconds; its date form says nothing a clock of ours could trust."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        return None
    return seconds if 0 <= seconds < 86_400 else None
