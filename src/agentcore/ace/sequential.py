"""Evidence that may be looked at after every outcome: e-processes and confidence sequences.

An e-process is the wealth of a gambler who bets against a hypothesis. While the hypothesis holds,
no bet gains on average, so wealth ever reaches ``1 / alpha`` with probability ``alpha`` at most
(Ville), however often one looks and whenever one stops. Two gamblers watch each comparison: one
bets against "not better", the other against "not worse".

Outcomes lie in [0, 1]. An outcome of which each task had the probability ``share`` to be treated is
weighted by the inverse of its arm's probability. The weighted outcome has the difference of the two
arms as its mean, whatever the tasks of that hour are like and though the share changes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

ALPHA = 0.05
# Shares of the largest safe bet. Which of them suits the difference is not known, so each has a
# part of the money.
_BETS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
_SLOPES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7)
# A gambler who has won does not need more; what has no end is no number.
_ENOUGH = 1e9


@dataclass(frozen=True, slots=True)
class Interval:
    low: float
    high: float


class Gambler(BaseModel):
    """Bets that payoffs have a mean above 0. ``reserve`` is betted bit by bit, in all to come:
    what changes late is noticed, too, though all that was betted before is lost by then.
    """

    model_config = ConfigDict(frozen=True)

    stakes: tuple[float, ...] = (1 / len(_BETS),) * len(_BETS)
    reserve: float = 0.0
    drip: float = 0.0
    peak: float = 1.0

    @classmethod
    def patient(cls, outcomes: int) -> Gambler:
        """With half of the money for changes within so many outcomes."""
        stakes = (0.5 / len(_BETS),) * len(_BETS)
        return cls(stakes=stakes, reserve=0.5, drip=0.5 / outcomes)

    @property
    def wealth(self) -> float:
        return sum(self.stakes) + self.reserve

    def after(self, payoff: float, *, most_lost: float) -> Gambler:
        """``payoff`` is at least ``-most_lost``, which was known before it came."""
        fresh = min(self.reserve, self.drip)
        stakes = tuple(
            min(stake * (1 + bet * payoff / most_lost), _ENOUGH) + fresh / len(_BETS)
            for stake, bet in zip(self.stakes, _BETS, strict=True)
        )
        later = self.model_copy(update={"stakes": stakes, "reserve": self.reserve - fresh})
        return later.model_copy(update={"peak": max(self.peak, later.wealth)})

    def has_won(self, alpha: float = ALPHA) -> bool:
        return self.peak >= 1 / alpha

    def could_win(self, outcomes: int, *, most_lost: float, alpha: float = ALPHA) -> bool:
        """Whether so many payoffs of 1 would make it rich enough; what is in reserve is not used.

        For the gambler that keeps no reserve, this is exact.
        """
        stakes = zip(self.stakes, _BETS, strict=True)
        most = sum(stake * (1 + bet / most_lost) ** outcomes for stake, bet in stakes)
        return max(self.peak, most + self.reserve) >= 1 / alpha


class Tally(BaseModel):
    """Values in [0, 1]; ``spread`` adds up squared distances from what was expected before each."""

    model_config = ConfigDict(frozen=True)

    count: int = 0
    total: float = 0.0
    spread: float = 0.0

    @property
    def mean(self) -> float | None:
        return self.total / self.count if self.count else None

    @property
    def expected(self) -> float:
        return (self.total + 0.5) / (self.count + 1)

    def after(self, value: float) -> Tally:
        return Tally(
            count=self.count + 1,
            total=self.total + value,
            spread=self.spread + (value - self.expected) ** 2,
        )

    def interval(self, alpha: float = ALPHA) -> Interval:
        """Holds the mean at all times at once, but for a probability of ``alpha``.

        An empirical Bernstein bound for several slopes, of which the narrowest counts.
        """
        if not self.count:
            return Interval(0.0, 1.0)
        surprise = math.log(2 * len(_SLOPES) / alpha)
        reach = min(
            (surprise + (-math.log1p(-slope) - slope) * self.spread) / slope for slope in _SLOPES
        )
        mean, half = self.total / self.count, reach / self.count
        return Interval(max(0.0, mean - half), min(1.0, mean + half))


class Evidence(BaseModel):
    """What is known of ``treated`` against ``control``."""

    model_config = ConfigDict(frozen=True)

    treated: Tally = Tally()
    control: Tally = Tally()
    better: Gambler = Gambler()
    worse: Gambler

    @classmethod
    def none(cls, horizon: int) -> Evidence:
        """``horizon``: the outcomes within which the treatment may turn bad."""
        return cls(worse=Gambler.patient(horizon))

    @property
    def count(self) -> int:
        return self.treated.count + self.control.count

    def observed(self, outcome: float, *, treated: bool, share: float) -> Evidence:
        """One more task, which was ``treated`` with probability ``share``."""
        # What was expected is taken off: it has no mean of its own, and less is left to chance.
        middle = (self.treated.total + self.control.total + 0.5) / (self.count + 1)
        weight = 1 / share if treated else -1 / (1 - share)
        payoff = weight * (outcome - middle)
        one = {"treated": self.treated.after(outcome)} if treated else {}
        other = {} if treated else {"control": self.control.after(outcome)}
        return self.model_copy(
            update={
                **one,
                **other,
                "better": self.better.after(
                    payoff, most_lost=max(middle / share, (1 - middle) / (1 - share))
                ),
                "worse": self.worse.after(
                    -payoff, most_lost=max((1 - middle) / share, middle / (1 - share))
                ),
            }
        )

    def paired(self, treated: float, control: float) -> Evidence:
        """One more task that both arms were given."""
        payoff = treated - control
        return self.model_copy(
            update={
                "treated": self.treated.after(treated),
                "control": self.control.after(control),
                "better": self.better.after(payoff, most_lost=1.0),
                "worse": self.worse.after(-payoff, most_lost=1.0),
            }
        )

    def difference(self, alpha: float = ALPHA) -> Interval:
        """Treated less control, at all times at once."""
        mine, theirs = self.treated.interval(alpha / 2), self.control.interval(alpha / 2)
        return Interval(mine.low - theirs.high, mine.high - theirs.low)
