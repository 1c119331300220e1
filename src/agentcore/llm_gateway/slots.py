"""How many calls a provider carries. Taking a slot is one step: check and count cannot drift."""

from __future__ import annotations


class Slots:
    """``limit`` None means that no limit is known; it may change while slots are taken."""

    __slots__ = ("in_flight", "limit")

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.in_flight = 0

    @property
    def free(self) -> bool:
        return self.limit is None or self.in_flight < self.limit

    @property
    def load(self) -> float:
        """The used share, or the calls in flight where no limit is known."""
        if self.limit is None:
            return float(self.in_flight)
        return self.in_flight / self.limit if self.limit else 1.0

    def take(self) -> bool:
        """Whoever gets True owes one ``release``."""
        if not self.free:
            return False
        self.in_flight += 1
        return True

    def release(self) -> None:
        if self.in_flight == 0:
            raise RuntimeError("a slot was released that nobody holds")
        self.in_flight -= 1
