"""The second capacity of a Parallax scheduler: how many calls it starts between two heartbeats.

The scheduler counts a start and never an end; a node's heartbeat, every ten seconds, sets the count
right. So ``max_running_request`` calls start and the next one waits for the heartbeat, however
short the others were. A call that begins seconds late, when that many had been started, shows it.
From then on no more calls are let in than the scheduler would start at once. What was learned is
forgotten by and by: a scheduler that counts better is found out by one late call at most.
"""

from __future__ import annotations

from collections import deque

from agentcore.kit.clock import Clock
from agentcore.llm_gateway.admission import Limit, Source
from agentcore.llm_gateway.capacity import Start, Starts

# Ten seconds between heartbeats, and what they were measured to be late.
PERIOD_SECONDS = 10.3
# The scheduler looks again every five seconds; a late start is hardly ever earlier.
STALL_SECONDS = 4.5
# A slow model is not a late start: so many times the usual beginning comes on top.
USUAL_FACTOR = 4.0
HALF_LIFE_SECONDS = 300.0
CONVINCED_BY_ONE = 0.5
LEAST_CONFIDENCE = 0.25
# Of no epoch of the limit behind: what is late for want of a start says nothing about places.
NO_EPOCH = -1


class StartBudget:
    """A limit of places (``inner``) and of starts; the lower one counts.

    Never free: a scheduler that has no place for a call stops all others while it waits.
    """

    free = False

    def __init__(self, inner: Limit, clock: Clock) -> None:
        self._inner = inner
        self._clock = clock
        self._told: int | None = None
        self._running = 0
        # When calls ended that the scheduler may still count: until a heartbeat after their end.
        self._spent: deque[float] = deque()
        self._usual: dict[int, float] = {}
        self._size = 0
        self._confidence = 0.0
        self._learned_at = 0.0

    @property
    def limit(self) -> int | None:
        places, starts = self._inner.limit, self.starts
        if starts is None:
            return places
        reachable = self._running + starts.tokens
        return reachable if places is None else min(places, reachable)

    @property
    def source(self) -> Source:
        places, limit = self._inner.limit, self.limit
        return self._inner.source if places == limit else "learned"

    @property
    def starts(self) -> Starts | None:
        if not self._confidence:
            return None
        confidence = self._sure()
        if confidence < LEAST_CONFIDENCE:
            return None
        size = self._size if self._told is None else min(self._size, self._told)
        tokens = max(0, size - self._counted())
        pause = 0.0
        if not tokens and self._spent:
            pause = max(0.0, self._spent[0] + PERIOD_SECONDS - self._clock.monotonic())
        return Starts(tokens, size, pause, round(confidence, 2))

    def told(self, most: int | None) -> None:
        self._told = most
        self._inner.told(most)

    def start(self, *, filled: bool) -> Start:
        counted = self._counted()
        self._running += 1
        places = self._inner.limit
        # Places are all taken only where places are what is scarce.
        full = filled and (places is None or self._running >= places)
        return self._inner.start(filled=full)._replace(counted=counted)

    def began(self, start: Start, *, size: int) -> None:
        kind = size.bit_length()
        seconds = self._clock.monotonic() - start.at
        usual = self._usual.get(kind)
        self._usual[kind] = seconds if usual is None else min(usual, seconds)
        late = usual is not None and seconds > STALL_SECONDS + USUAL_FACTOR * usual
        if late and start.counted and start.counted >= (self._told or 0):
            self._learn(start)
            start = start._replace(epoch=NO_EPOCH)
        self._inner.began(start, size=size)

    def answered(self, start: Start, *, tokens: int) -> None:
        self._inner.answered(start, tokens=tokens)

    def ended(self, start: Start, *, begun: bool, answered: bool) -> None:
        self._running -= 1
        self._spent.append(self._clock.monotonic())
        self._inner.ended(start, begun=begun, answered=answered)

    def overloaded(self, start: Start) -> None:
        if self._told is not None and start.counted >= self._told > 0:
            self._learn(start)
        else:
            self._inner.overloaded(start)

    def _counted(self) -> int:
        """What the scheduler counts at most: who runs, and who did before its next heartbeat."""
        oldest = self._clock.monotonic() - PERIOD_SECONDS
        while self._spent and self._spent[0] <= oldest:
            self._spent.popleft()
        return self._running + len(self._spent)

    def _learn(self, start: Start) -> None:
        self._confidence = CONVINCED_BY_ONE + self._sure() * (1 - CONVINCED_BY_ONE)
        self._learned_at = self._clock.monotonic()
        self._size = start.counted

    def _sure(self) -> float:
        age = self._clock.monotonic() - self._learned_at
        return self._confidence * float(2 ** (-age / HALF_LIFE_SECONDS))
