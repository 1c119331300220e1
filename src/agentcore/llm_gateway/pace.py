"""How fast a provider has been of late, from what it did."""

from __future__ import annotations

from collections import deque

from agentcore.llm_gateway.candidates import UNKNOWN_PACE, Pace

SMOOTHING = 0.1
KEPT = 128
# A percentile of fewer says nothing.
LEAST = 20
EVERY = 16
LATE = 0.95


class Lateness:
    """What few of a provider's answers exceed."""

    __slots__ = ("_known", "_late", "_news")

    def __init__(self) -> None:
        self._known: deque[float] = deque(maxlen=KEPT)
        self._late: float | None = None
        self._news = 0

    def add(self, seconds: float) -> None:
        self._known.append(seconds)
        self._news += 1

    @property
    def seconds(self) -> float | None:
        """95 of 100 took no longer; None while too little is known."""
        if len(self._known) < LEAST:
            return None
        if self._late is None or self._news >= EVERY:
            ordered = sorted(self._known)
            self._late = ordered[int(LATE * (len(ordered) - 1))]
            self._news = 0
        return self._late


class PaceMeter:
    __slots__ = ("_streamed", "_whole", "pace")

    def __init__(self) -> None:
        self.pace: Pace = UNKNOWN_PACE
        self._streamed = Lateness()
        self._whole = Lateness()

    def began(self, seconds: float) -> None:
        """The first content of a stream came after ``seconds``."""
        self.pace = self.pace._replace(first_seconds=_mixed(self.pace.first_seconds, seconds))
        self._streamed.add(seconds)

    def answered(self, seconds: float) -> None:
        """A plain answer, which comes whole, came after ``seconds``."""
        self._whole.add(seconds)

    def wrote(self, tokens: int, seconds: float) -> None:
        if tokens > 0 and seconds > 0:
            rate = _mixed(self.pace.tokens_per_second, tokens / seconds)
            self.pace = self.pace._replace(tokens_per_second=rate)

    def late(self, *, stream: bool) -> float | None:
        """Seconds after which 95 of 100 answers of this kind had begun; None: not known yet."""
        return (self._streamed if stream else self._whole).seconds


def _mixed(known: float | None, news: float) -> float:
    return news if known is None else known + SMOOTHING * (news - known)
