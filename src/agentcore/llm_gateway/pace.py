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


class PaceMeter:
    __slots__ = ("_beginnings", "_late", "_news", "pace")

    def __init__(self) -> None:
        self.pace: Pace = UNKNOWN_PACE
        self._beginnings: deque[float] = deque(maxlen=KEPT)
        self._late: float | None = None
        self._news = 0

    def began(self, seconds: float) -> None:
        """The first content came after ``seconds``."""
        self.pace = self.pace._replace(first_seconds=_mixed(self.pace.first_seconds, seconds))
        self._beginnings.append(seconds)
        self._news += 1

    def wrote(self, tokens: int, seconds: float) -> None:
        if tokens > 0 and seconds > 0:
            rate = _mixed(self.pace.tokens_per_second, tokens / seconds)
            self.pace = self.pace._replace(tokens_per_second=rate)

    @property
    def late(self) -> float | None:
        """Seconds after which 95 of 100 answers had begun; None while too little is known."""
        if len(self._beginnings) < LEAST:
            return None
        if self._late is None or self._news >= EVERY:
            ordered = sorted(self._beginnings)
            self._late = ordered[int(LATE * (len(ordered) - 1))]
            self._news = 0
        return self._late


def _mixed(known: float | None, news: float) -> float:
    return news if known is None else known + SMOOTHING * (news - known)
