"""The hidden world of TaskRoutingEnv: what agents claim, what they can do, and when that changes.

Everything that chance decides is drawn when the episode begins, in whole numbers: two policies on
one seed meet the same tasks with the same luck, and no machine rounds differently.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from agentcore.kit.jsonvalue import JsonObject

TYPES = ("extract", "summarize", "code", "plan")
# What the true skills differ from the claims by, in percent: one agent boasts, one is underrated.
BIASES = (-45, -20, -5, 5, 20)
# What they change by at the moment of drift.
DRIFTS = (-45, -25, 0, 10, 30)
# Agents of an episode that break down for a while, and for how many ticks.
BREAKDOWNS = 2
BREAKDOWN_TICKS = 9
LONGEST_QUEUE = 5
BEST, WORST = 98, 2


@dataclass(slots=True)
class RoutedAgent:
    """``skills`` are claims in percent; ``bias``, ``drift`` and ``breakdown`` are hidden."""

    id: str
    skills: dict[str, int]
    ticks_per_unit: int
    price: int
    bias: int = 0
    drift: int = 0
    drifts_at: int = 0
    breaks_at: int | None = None
    busy: list[int] = field(default_factory=list)

    def broken(self, tick: int) -> bool:
        return self.breaks_at is not None and 0 <= tick - self.breaks_at < BREAKDOWN_TICKS

    def chance(self, kind: str, tick: int) -> int:
        """Percent of luck with which a task begun at ``tick`` succeeds."""
        if self.broken(tick):
            return 0
        drift = self.drift if tick >= self.drifts_at else 0
        return min(BEST, max(WORST, self.skills[kind] + self.bias + drift))

    def queue(self, tick: int) -> int:
        """Tasks that it has not finished."""
        return sum(end > tick for end in self.busy)

    def work(self, size: int, tick: int) -> tuple[int, int]:
        """Queue a task of ``size`` and return when it begins and ends."""
        start = max([tick, *self.busy])
        slower = 2 if self.broken(start) else 1
        end = start + size * self.ticks_per_unit * slower
        self.busy.append(end)
        return start, end

    def to_dict(self, tick: int) -> JsonObject:
        return {
            "id": self.id,
            "skills": {**self.skills},
            "ticks_per_unit": self.ticks_per_unit,
            "price": self.price,
            "queue": self.queue(tick),
        }


@dataclass(slots=True)
class RoutedTask:
    """``luck`` from 0 to 99 is hidden: an agent succeeds if its chance is greater."""

    id: str
    type: str
    size: int
    arrived: int
    deadline: int
    luck: int
    routed: bool = False

    def to_dict(self) -> JsonObject:
        return {
            "id": self.id,
            "type": self.type,
            "size": self.size,
            "arrived": self.arrived,
            "deadline": self.deadline,
        }


def routed_agents(random: Random, ticks: int) -> list[RoutedAgent]:
    """Four specialists and a generalist; their drift comes in the middle of ``ticks``."""
    biases, drifts = _shuffled(BIASES, random), _shuffled(DRIFTS, random)
    agents = []
    for index, (bias, drift) in enumerate(zip(biases, drifts, strict=True)):
        speciality = TYPES[index] if index < len(TYPES) else None
        skills = {kind: _claim(kind, speciality, random) for kind in TYPES}
        agents.append(
            RoutedAgent(
                id=f"agent-{index}",
                skills=skills,
                ticks_per_unit=random.randrange(1, 4),
                price=random.randrange(1, 6),
                bias=bias,
                drift=drift,
                drifts_at=ticks // 4 + random.randrange(max(1, ticks // 2)),
            )
        )
    for index in _shuffled(range(len(agents)), random)[:BREAKDOWNS]:
        agents[index].breaks_at = random.randrange(max(1, ticks - BREAKDOWN_TICKS // 2))
    return agents


def routed_tasks(random: Random, count: int) -> list[RoutedTask]:
    """In the order of their arrival: three at once, then two in three ticks."""
    tasks, tick = [], 0
    for index in range(count):
        if index >= 3:
            tick += random.randrange(4)
        size = random.randrange(1, 4)
        tasks.append(
            RoutedTask(
                id=f"task-{index}",
                type=TYPES[random.randrange(len(TYPES))],
                size=size,
                arrived=tick,
                deadline=tick + 5 + 2 * size + random.randrange(8),
                luck=random.randrange(100),
            )
        )
    return tasks


def _claim(kind: str, speciality: str | None, random: Random) -> int:
    if speciality is None:
        return 66 + random.randrange(10)
    return (86 if kind == speciality else 54) + random.randrange(12)


def _shuffled(values: tuple[int, ...] | range, random: Random) -> list[int]:
    drawn = list(values)
    random.shuffle(drawn)
    return drawn
