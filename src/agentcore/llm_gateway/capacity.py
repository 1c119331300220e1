"""How many calls a server carries at once, learned from what it does with them.

Inference servers tell a limit that is wrong, or none. Two things can be seen from outside. Calls
whose answers arrive at the same moment are carried at the same moment: that many places there are.
And a call that finds no place begins when another one ends, later than calls usually begin: that
many places there are not. So the limit grows while calls that filled it end well, and shrinks when
most calls begin late behind another's end (additive increase, multiplicative decrease), never below
what was seen to be carried a short while ago. Total latency would say nothing: the length of the
answer dominates it.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from agentcore.kit.clock import Clock

FIRST_GUESS = 4
HIGHEST = 4096
SHRINK = 0.75
OVERLOAD_SHRINK = 0.5
# Begun late: this often the usual time, and this much above it.
LATE_FACTOR = 4.0
LATE_SECONDS = 0.1
# The same for more calls at once than were ever carried: one too many takes what is reserved.
UNTRIED_SECONDS = 0.03
LATENESS_SMOOTHING = 0.3
TOO_LATE = 0.6
# What is usual doubles in this time, so that a server that became slower is not held to its past.
FORGET_SECONDS = 600.0
# Kinds from here on are of whole answers, by their length; those below of streams, by the prompt's.
WHOLE = 64
SEEN_SECONDS = 60.0
HOLD_SECONDS = 60.0
LONGEST_HOLD = 960.0


class Start(NamedTuple):
    """What a call knows of the moment at which it was let in; ``counted``: calls before it that
    still count against a budget of starts; ``running``: calls under way, with itself, under
    this ``limit``.
    """

    epoch: int
    filled: bool
    ends: int
    at: float
    counted: int = 0
    running: int = 0
    limit: int = 0


class Starts(NamedTuple):
    """A budget of starts beside the places: ``tokens`` of ``size`` are left, and where none is,
    the next one is expected in ``pause`` seconds.
    """

    tokens: int
    size: int
    pause: float
    confidence: float


class _Seen:
    """The most calls that were carried at once, in this and the last span of time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since = clock.monotonic()
        self._now = 0
        self._before = 0

    @property
    def most(self) -> int:
        self._turn()
        return max(self._now, self._before)

    def see(self, number: int) -> None:
        self._turn()
        self._now = max(self._now, number)

    def _turn(self) -> None:
        spans = int((self._clock.monotonic() - self._since) / SEEN_SECONDS)
        if spans:
            self._before = self._now if spans == 1 else 0
            self._now = 0
            self._since += spans * SEEN_SECONDS


class AdaptiveLimit:
    """Not for several processes: each learns its own share of the server."""

    starts: Starts | None = None

    def __init__(self, clock: Clock, *, first: int = FIRST_GUESS) -> None:
        self._clock = clock
        self._limit = float(first)
        self._most = HIGHEST
        self._told = False
        self.free = True
        self._usual: dict[int, tuple[float, float]] = {}
        self._running = 0
        self._carried = 0
        self._seen = _Seen(clock)
        self._ends = 0
        self._epoch = 0
        self._lateness = 0.0
        self._probing = True
        self._ceiling = HIGHEST + 1
        self._ceiling_until = 0.0
        self._hold = HOLD_SECONDS

    @property
    def limit(self) -> int:
        return max(1, min(int(self._limit), self._most))

    @property
    def source(self) -> Literal["reported", "learned"]:
        return "reported" if self._told and self.limit == self._most else "learned"

    def told(self, most: int | None) -> None:
        """The server's own figure: an upper bound, and where to begin."""
        self._most = HIGHEST if most is None else most
        if most is not None and not self._told:
            self._told, self.free, self._limit = True, False, float(most)

    def start(self, *, filled: bool) -> Start:
        """For a call that is let in now; ``filled``: no further one of its class would be."""
        self._running += 1
        now = self._clock.monotonic()
        return Start(self._epoch, filled, self._ends, now, running=self._running, limit=self.limit)

    def began(self, start: Start, *, size: int) -> None:
        """The call's first content arrived; ``size`` is its prompt's, in bytes."""
        # More than were ever carried at once: the first late one says that they cannot be.
        untried = start.running > self._seen.most
        self._carried += 1
        self._seen.see(self._carried)
        # Long prompts take longer: calls are compared with others of about their size.
        untried = untried and self._probing
        above = UNTRIED_SECONDS if untried else LATE_SECONDS
        if self._is_late(start, size.bit_length(), above):
            weight = 1.0 if untried else LATENESS_SMOOTHING
            # One of those under way had to wait.
            self._doubt(start, weight, most=self._running - 1)
        else:
            self._trust(start)
            # It began in time, and nobody had to make room for it.
            if self._probing and self._ends == start.ends:
                self._grow(start)

    def answered(self, start: Start, *, tokens: int) -> None:
        """The call's whole answer arrived at once: a weaker sign, and there is no other."""
        if self._is_late(start, WHOLE + tokens.bit_length(), LATE_SECONDS):
            self._doubt(start, LATENESS_SMOOTHING, most=HIGHEST)
        else:
            self._trust(start)

    def ended(self, start: Start, *, begun: bool, answered: bool) -> None:
        """The call is over; ``begun``: it was carried as a stream until now."""
        self._ends += 1
        self._running -= 1
        self._carried -= begun
        if answered and not (begun and self._probing and self._says_nothing(start)):
            self._grow(start)

    def _says_nothing(self, start: Start) -> bool:
        """Of a stream that went well: there was more to carry than ever was, or its news is old."""
        return start.running > self._seen.most or start.limit != self.limit

    def _grow(self, start: Start) -> None:
        """If the call filled the limit and went well, there may be room for more."""
        if not start.filled or start.epoch != self._epoch:
            return
        if self._clock.monotonic() >= self._ceiling_until:
            self._ceiling = HIGHEST + 1
        grown = self._limit + (1.0 if self._probing else 1.0 / self._limit)
        if int(grown) < self._ceiling:
            self._limit = min(grown, float(self._most))

    def overloaded(self, start: Start) -> None:
        """The server refused the call for want of room, or never began to answer."""
        self._cut(start, OVERLOAD_SHRINK, least=1)

    def _is_late(self, start: Start, kind: int, above: float) -> bool:
        now = self._clock.monotonic()
        seconds = now - start.at
        usual, since = self._usual.get(kind, (seconds, now))
        usual *= 2 ** ((now - since) / FORGET_SECONDS)
        self._usual[kind] = (min(seconds, usual), now)
        return self._ends > start.ends and seconds > LATE_FACTOR * usual + above

    def _trust(self, start: Start) -> None:
        if start.epoch == self._epoch:
            self._lateness -= LATENESS_SMOOTHING * self._lateness

    def _doubt(self, start: Start, weight: float, *, most: int) -> None:
        """One late call is chance; where the limit is too high, nearly all are."""
        if start.epoch != self._epoch:
            # It was let in under a limit that has been cut since.
            return
        self._lateness += weight * (1.0 - self._lateness)
        if self._lateness > TOO_LATE:
            self._cut(start, SHRINK, least=max(1, self._seen.most), most=most)

    def _cut(self, start: Start, factor: float, *, least: int, most: int = HIGHEST) -> None:
        """``most``: calls that might be carried, by how many were under way."""
        if start.epoch != self._epoch or self.limit <= least:
            self._lateness = 0.0
            return
        now = self._clock.monotonic()
        again = self.limit >= self._ceiling - 1 and now < self._ceiling_until + self._hold
        most = max(most, least)
        self._hold = min(self._hold * 2, LONGEST_HOLD) if again else HOLD_SECONDS
        self._ceiling, self._ceiling_until = min(self.limit, most + 1), now + self._hold
        self._limit = max(float(least), min(self._limit * factor, self.limit - 1.0, float(most)))
        self._probing = False
        self._epoch += 1
        self._lateness = 0.0
