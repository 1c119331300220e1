"""Who may start now where capacity is limited, and who waits, in which order, for how long.

One gate stands before one provider. Its order: class by class (high, medium, low), callers of one
class in turn, the calls of one caller as they came. A part of the capacity is kept for the high
class: ordering alone does not help who arrives when everything is taken. And low priority that
comes after a pause gathers for a moment before the first of it starts: who asks for many things at
once asks for them in no particular order. What cannot start in time is refused at once, so that the
router may send it elsewhere. A caller that sends many calls lets its own wait, not those of others:
what a call has before it counts by turns, and a full line makes room at the cost of whoever has the
most calls in it.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from agentcore.kit.clock import Clock
from agentcore.llm_gateway.capacity import Start, Starts
from agentcore.llm_gateway.models import (
    NOBODY,
    PRIORITIES,
    ChatCall,
    Owner,
    Priority,
    QueueConfig,
)

# The reserve lapses when nobody has asked for the high class for some of its usual pauses: what is
# kept for nobody is missing to the others. Calls that come together are one. Where calls are soon
# over, a place comes free by itself long before who pauses for many of them is back.
RESERVE_SECONDS = 60.0
LEAST_RESERVE = 0.5
PAUSES = 4.0
LONG_PAUSE = 10.0
TOGETHER = 0.25
SMOOTHING = 0.2
ASSUMED_SERVICE = 1.0
# From here on an answer takes so long that the pause behind it is nothing.
LONG_SERVICE = 1.0
SHORTEST_RETRY = 1.0
# Low priority that comes again within this time has not paused.
PAUSE_SECONDS = 1.0

Source = Literal["configured", "reported", "learned", "unknown"]


class Limit(Protocol):
    """``limit`` None: no bound is known. ``told`` what the server says of itself.

    ``starts`` None: nothing but the places bounds how many calls may start. ``free``: nobody said
    that more than the limit would be too much.
    """

    @property
    def free(self) -> bool: ...

    @property
    def limit(self) -> int | None: ...

    @property
    def source(self) -> Source: ...

    @property
    def starts(self) -> Starts | None: ...

    def told(self, most: int | None) -> None: ...

    def start(self, *, filled: bool) -> Start: ...

    def began(self, start: Start, *, size: int) -> None: ...

    def answered(self, start: Start, *, tokens: int) -> None: ...

    def ended(self, start: Start, *, begun: bool, answered: bool) -> None: ...

    def overloaded(self, start: Start) -> None: ...


class FixedLimit:
    """A bound that an operator or the server set, or none; nothing is learned."""

    starts: Starts | None = None
    free = False

    def __init__(self, configured: int | None, clock: Clock) -> None:
        self._configured = configured
        self._clock = clock
        self.limit = configured

    @property
    def source(self) -> Source:
        limit = self.limit
        if limit is None:
            return "unknown"
        return "configured" if limit == self._configured else "reported"

    def told(self, most: int | None) -> None:
        known = [each for each in (self._configured, most) if each is not None]
        self.limit = min(known, default=None)

    def start(self, *, filled: bool) -> Start:
        return Start(0, filled=filled, ends=0, at=self._clock.monotonic())

    def began(self, start: Start, *, size: int) -> None: ...

    def answered(self, start: Start, *, tokens: int) -> None: ...

    def ended(self, start: Start, *, begun: bool, answered: bool) -> None: ...

    def overloaded(self, start: Start) -> None: ...


NO_QUEUE = QueueConfig(places=0)


class Full(Exception):
    """No place now and none in time; ``retry_after`` is when it is worth another try."""

    def __init__(self, retry_after: float) -> None:
        super().__init__()
        self.retry_after = max(SHORTEST_RETRY, retry_after)


@dataclass(slots=True, eq=False)
class _Waiter:
    priority: Priority
    owner: Owner
    since: float
    # None: it may start; otherwise why it has to leave the line.
    place: asyncio.Future[Full | None]
    standing: bool = True


class Pass:
    """The right to one place. ``leave`` exactly once, whatever happened."""

    __slots__ = ("_begun", "_gate", "_open", "start")

    def __init__(self, gate: Gate, start: Start) -> None:
        self._gate = gate
        self._open = True
        self._begun = False
        self.start = start

    def began(self, *, size: int) -> None:
        self._begun = True
        self._gate.began(self.start, size=size)

    def answered(self, *, tokens: int) -> None:
        self._gate.capacity.answered(self.start, tokens=tokens)

    def overloaded(self) -> None:
        self._gate.capacity.overloaded(self.start)

    def leave(self, *, answered: bool = False) -> None:
        if self._open:
            self._open = False
            self._gate.leave(self.start, begun=self._begun, answered=answered)


class _Places:
    """Those taken at one server, and the gates before it: of its configuration and those before."""

    def __init__(self, gate: Gate) -> None:
        self.taken = 0
        self.gates = [gate]


class Gate:
    def __init__(self, capacity: Limit, clock: Clock, queueing: QueueConfig = NO_QUEUE) -> None:
        self.capacity = capacity
        self._places = _Places(self)
        self._closed = False
        self._clock = clock
        self._queueing = queueing
        self._lines: dict[Priority, OrderedDict[Owner, deque[_Waiter]]] = {
            priority: OrderedDict() for priority in PRIORITIES
        }
        self._lengths: dict[Priority, int] = dict.fromkeys(PRIORITIES, 0)
        self._standing = 0
        self._service = ASSUMED_SERVICE
        self._brisk = False
        self._reserved_until = -math.inf
        self._high_at = -math.inf
        self._pause = 0.0
        self._low_at = -math.inf
        self._gathering: asyncio.TimerHandle | None = None

    def follow(self, before: Gate) -> None:
        """Stand before the same server with another limit: what is under way there counts."""
        self._places = before._places
        lines = [each for each in self._places.gates if any(each.queued.values()) or each is before]
        self._places.gates = [*lines, self]

    @property
    def in_flight(self) -> int:
        return self._places.taken

    @property
    def limit(self) -> int | None:
        return self.capacity.limit

    @property
    def load(self) -> float:
        """The used share, waiting calls included; calls in flight where no limit is known."""
        return self.load_of(self.outstanding)

    def load_of(self, asked: int) -> float:
        limit = self.capacity.limit
        return float(asked) if limit is None else asked / limit if limit else 1.0

    @property
    def outstanding(self) -> int:
        """Calls in flight and in line."""
        return self.in_flight + self._standing

    @property
    def queued(self) -> dict[Priority, int]:
        return dict(self._lengths)

    def free(self, priority: Priority = "high") -> bool:
        """Whether a call of this class would start at once."""
        if self._standing and self._stand_before(priority):
            return False
        if self._gathering is not None and priority == "low":
            return False
        return self.in_flight < self._allowed(priority)

    def forecast(self, priority: Priority, owner: Owner = NOBODY) -> float | None:
        """Seconds that a further call would wait; None if it would not be let in line."""
        if self.free(priority):
            return 0.0
        if self._full(priority) and self._yielding(priority, owner) is None:
            return None
        return self.wait(priority, owner)

    def wait(self, priority: Priority, owner: Owner = NOBODY) -> float:
        """How long it takes from now until a further call might start, in line or not."""
        allowed = self._allowed(priority)
        ahead = self._ahead(priority, owner) + 1
        starts = self.capacity.starts
        pause = 0.0 if starts is None else starts.pause
        if self._gathers(priority):
            pause += self._queueing.gather
        return pause + (ahead * self._service / allowed if allowed > 0 else self._service)

    async def enter(self, call: ChatCall) -> Pass:
        """Take a place, now or when it is this call's turn.

        Raises:
            Full: there is none, or none before the call's deadline or the queue's patience ends.
        """
        place = self.take(call)
        if place is None:
            await self._turn(call)
            place = self._passed(call)
        return place

    def take(self, call: ChatCall) -> Pass | None:
        """A place, if there is one at once."""
        self._reserve(call.priority)
        if call.priority == "low":
            self._gather()
        if not self.free(call.priority):
            return None
        self._places.taken += 1
        return self._passed(call)

    def _passed(self, call: ChatCall) -> Pass:
        filled = self.in_flight >= self._allowed(call.priority)
        return Pass(self, self.capacity.start(filled=filled))

    def told(self, most: int | None) -> None:
        """What the server itself says it carries; None where it does not say."""
        self.capacity.told(most)
        self.call_next()

    def close(self) -> None:
        """Let nobody in until ``open``; who stands in line keeps its place."""
        self._closed = True

    def dismiss(self) -> None:
        """Refuse all who stand in line: what they wait for is not here any more."""
        waiting = [
            waiter for line in self._lines.values() for calls in line.values() for waiter in calls
        ]
        for waiter in waiting:
            self._step_out(waiter)
            if not waiter.place.done():
                waiter.place.set_result(Full(SHORTEST_RETRY))

    def open(self) -> None:
        self._closed = False
        self.call_next()

    def began(self, start: Start, *, size: int) -> None:
        self.capacity.began(start, size=size)
        # What is learned of it may let somebody in.
        self.call_next()

    def leave(self, start: Start, *, begun: bool, answered: bool) -> None:
        if self.in_flight == 0:
            raise RuntimeError("a place was left that nobody holds")
        self._places.taken -= 1
        if answered:
            seconds = self._clock.monotonic() - start.at
            self._service += SMOOTHING * (seconds - self._service)
            self._brisk = self._service < LONG_SERVICE
        self.capacity.ended(start, begun=begun, answered=answered)
        self._call_all()

    async def _turn(self, call: ChatCall) -> None:
        now = self._clock.monotonic()
        patience = self._queueing.patience
        if call.deadline is not None:
            patience = min(patience, call.deadline - now)
        wait = self.forecast(call.priority, call.owner)
        if wait is None or wait > patience:
            raise Full(self.wait(call.priority, call.owner))
        place = asyncio.get_running_loop().create_future()
        waiter = _Waiter(call.priority, call.owner, now, place)
        self._stand(waiter)
        try:
            async with asyncio.timeout(patience):
                refusal = await place
        except TimeoutError as exc:
            self._give_up(waiter)
            raise Full(self.wait(call.priority, call.owner)) from exc
        except BaseException:
            self._give_up(waiter)
            raise
        if refusal is not None:
            raise refusal

    def _reserve(self, priority: Priority) -> None:
        """Keep places for the high class for as long as more of it is to be expected."""
        if priority != "high" and self.in_flight:
            return
        now = self._clock.monotonic()
        hold = LEAST_RESERVE  # also where the others come first: who comes with them finds a place
        if priority == "high":
            pause = now - self._high_at
            if pause > TOGETHER:
                self._high_at = now
                if pause < RESERVE_SECONDS:
                    self._pause += (pause - self._pause) * (SMOOTHING if self._pause else 1.0)
            if self._pause <= LONG_PAUSE * self._service:
                hold = min(RESERVE_SECONDS, max(hold, PAUSES * self._pause))
        self._reserved_until = max(self._reserved_until, now + hold)

    def _gather(self) -> None:
        """Low priority is here: after a pause it does not start at once."""
        now = self._clock.monotonic()
        pause, self._low_at = now - self._low_at, now
        seconds = self._queueing.gather if self._queueing.places else 0.0
        if pause > PAUSE_SECONDS and seconds and self.capacity.limit is not None:
            loop = asyncio.get_running_loop()
            self._gathering = self._gathering or loop.call_later(seconds, self._gathered)

    def _gathered(self) -> None:
        self._gathering = None
        self.call_next()

    def _gathers(self, priority: Priority) -> bool:
        return self._gathering is not None and priority == "low"

    def _stand(self, waiter: _Waiter) -> None:
        if self._full(waiter.priority):
            self._make_room(waiter)
        self._lines[waiter.priority].setdefault(waiter.owner, deque()).append(waiter)
        self._lengths[waiter.priority] += 1
        self._standing += 1

    def _give_up(self, waiter: _Waiter) -> None:
        if waiter.standing:
            self._step_out(waiter)
        elif not waiter.place.cancelled() and waiter.place.result() is None:
            # The place came in the same moment: somebody else takes it.
            self._places.taken -= 1
            self._call_all()

    def _step_out(self, waiter: _Waiter) -> None:
        waiter.standing = False
        self._lengths[waiter.priority] -= 1
        self._standing -= 1
        line = self._lines[waiter.priority]
        line[waiter.owner].remove(waiter)
        if not line[waiter.owner]:
            del line[waiter.owner]

    def _make_room(self, newcomer: _Waiter) -> None:
        last = self._yielding(newcomer.priority, newcomer.owner)
        if last is not None:
            self._step_out(last)
            if not last.place.done():
                last.place.set_result(Full(self.wait(last.priority, last.owner)))

    def _yielding(self, priority: Priority, owner: Owner) -> _Waiter | None:
        """Who leaves a full line for ``owner``: the last call of whoever has the most there."""
        line = self._lines[priority]
        most = max(line.values(), key=len, default=None)
        if most is None or len(most) <= len(line.get(owner, ())) + 1:
            return None
        return most[-1]

    def _full(self, priority: Priority) -> bool:
        return self._lengths[priority] >= self._queueing.places

    def _call_all(self) -> None:
        for gate in self._places.gates:
            gate.call_next()

    def call_next(self) -> None:
        """Let in who may start now."""
        while self._standing and (waiter := self._next()) is not None:
            self._step_out(waiter)
            if waiter.place.done():
                # Cancelled, and its task has not run since: it does not come any more.
                continue
            line = self._lines[waiter.priority]
            if waiter.owner in line:
                line.move_to_end(waiter.owner)
            self._places.taken += 1
            waiter.place.set_result(None)

    def _next(self) -> _Waiter | None:
        """Who is to start: the first of the best class; who has waited long is of the next one."""
        now = self._clock.monotonic()
        ranked: list[tuple[int, float, int, _Waiter]] = []
        for place, waiter in enumerate(self._heads()):
            may = self.in_flight < self._allowed(waiter.priority)
            if may and not self._gathers(waiter.priority):
                aged = int((now - waiter.since) / self._queueing.ageing)
                rank = max(0, PRIORITIES.index(waiter.priority) - aged)
                ranked.append((rank, waiter.since, place, waiter))
        return min(ranked)[3] if ranked else None

    def _heads(self) -> Iterator[_Waiter]:
        for priority in PRIORITIES:
            line = self._lines[priority]
            if line:
                yield next(iter(line.values()))[0]

    def _allowed(self, priority: Priority) -> float:
        if self._closed:
            return 0
        limit = self.capacity.limit
        if limit is None:
            return math.inf
        if priority == "high" or not self._queueing.places:
            return limit
        if self._clock.monotonic() >= self._reserved_until:
            return limit + self._ready(limit) if self._brisk and self.capacity.free else limit
        return min(limit, max(1, limit - math.ceil(limit * self._queueing.reserve)))

    def _ready(self, limit: int) -> int:
        """Calls that stand in the server's own line, while nobody is expected who cannot wait.

        Between short answers the way there and back is a good part of the time, and idle.
        """
        return math.ceil(limit * self._queueing.reserve)

    def _stand_before(self, priority: Priority) -> bool:
        """Whether calls wait that are of this class or a better one."""
        better = PRIORITIES[: PRIORITIES.index(priority) + 1]
        return any(self._lengths[each] for each in better)

    def _ahead(self, priority: Priority, owner: Owner) -> int:
        """Calls that start before a further one of ``owner``, as things stand.

        All of better classes and its own; callers of its class take turns, so others start as many
        as it has in line, and one more.
        """
        better = PRIORITIES[: PRIORITIES.index(priority)]
        line = self._lines[priority]
        own = len(line.get(owner, ()))
        turns = sum(min(len(calls), own + 1) for other, calls in line.items() if other != owner)
        return sum(self._lengths[each] for each in better) + own + turns
