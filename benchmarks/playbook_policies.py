"""How lessons change what an agent knows: as others do it, and as AgentCore does."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence

from agentcore.ace.content import Draft
from agentcore.ace.models import ContextDelta, ContextPlaybook
from agentcore.ace.ops import Add, Operation, Remove, Tag, parse_operations
from agentcore.ace.paired import compared
from agentcore.ace.ports import Pair
from agentcore.ace.simple_curator import SimpleCurator
from agentcore.kit.jsonvalue import JsonObject
from benchmarks.playbook_hidden import NOW, Reader, Shown, World, book, drawn, extended, rules_in

PAIRS = 48
REWRITTEN, COLLAPSE = 0.97, 0.02
Lived = list[tuple[tuple[str, ...], bool]]
Proof = Callable[[Sequence[Operation], str], Awaitable[bool]]


class Policy(ABC):
    """How what was lived through changes what is known; all get the same lessons."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.world = world
        self.chance = chance
        self.rollouts = 0
        self.tried: Counter[str] = Counter()
        self.promoted: Counter[str] = Counter()

    @abstractmethod
    def reader(self) -> Callable[[int], Shown]:
        """What shows a task its part of what is known."""

    @abstractmethod
    async def learn(self, lived: Lived, lessons: Sequence[str]) -> None:
        """Take on ``lessons``, or not, after what was ``lived``."""

    @abstractmethod
    def known(self) -> list[str]:
        """All that is known."""


class Appending(Policy):
    """ADD only, as the published code does it: what comes is appended, duplicates, too."""

    def __init__(self, world: World, chance: random.Random) -> None:
        super().__init__(world, chance)
        self._lines: list[str] = []

    def reader(self) -> Callable[[int], Shown]:
        said: dict[int, list[str]] = {}
        for line in self._lines:
            for topic, _ in rules_in([line]):
                said.setdefault(topic, []).append(line)
        size = len(self._lines)
        blank = [""] * size

        def shown(topic: int) -> Shown:
            own = said.get(topic, [])
            return Shown(self.world.rate(own + blank[len(own) :], topic), (), size)

        return shown

    async def learn(self, lived: Lived, lessons: Sequence[str]) -> None:
        self._lines += lessons

    def known(self) -> list[str]:
        return self._lines


class Rewriting(Appending):
    """A model writes the whole text anew: mostly a little is lost, now and then nearly all."""

    async def learn(self, lived: Lived, lessons: Sequence[str]) -> None:
        kept = 0.1 if self.chance.random() < COLLAPSE else REWRITTEN
        survivors = [line for line in self._lines if self.chance.random() < kept]
        self._lines = list(dict.fromkeys([*survivors, *lessons]))


class Notebook:
    """A playbook that is curated, counted and pruned; ``proves`` decides about what is new."""

    def __init__(self) -> None:
        self.playbook = book({})
        self._curator = SimpleCurator(self._found)

    async def learn(self, lived: Lived, lessons: Sequence[str], proves: Proof) -> None:
        self._take([*_counted(lived)])
        self._take([Remove(id=bullet) for bullet in self._harmful()])
        for text in lessons:
            operations = self._curated(text)
            support = all(isinstance(one, Tag) for one in operations)
            if operations and (support or await proves(operations, text)):
                self._take(operations)

    def known(self) -> list[str]:
        return [place.bullet.text for place in Draft.of(self.playbook.content).bullets()]

    def _curated(self, text: str) -> tuple[Operation, ...]:
        """What the curator leaves of a lesson; its confidence says nothing."""
        changes: JsonObject = {"ops": [Add(section="rules", text=text).as_json()]}
        delta = ContextDelta(
            delta_id="d",
            playbook_id="world",
            changes=changes,
            confidence=0.9,
            reasoning="",
            generated_at=NOW,
        )
        decision = self._curator.judge(delta, self.playbook, threshold=0.7)
        return parse_operations(decision.delta.changes["ops"]) if decision.accepted else ()

    async def _found(self, delta: ContextDelta) -> ContextPlaybook:
        return self.playbook

    def _harmful(self) -> list[str]:
        bullets = [place.bullet for place in Draft.of(self.playbook.content).bullets()]
        return [one.id for one in bullets if one.harmful > 20 and one.harmful > 2 * one.helpful]

    def _take(self, operations: Sequence[Operation]) -> None:
        self.playbook = extended(self.playbook, operations)


class Itemised(Policy):
    """Ours without the gate: curated, counted, pruned, rendered under a budget."""

    def __init__(self, world: World, chance: random.Random) -> None:
        super().__init__(world, chance)
        self.notebook = Notebook()

    def reader(self) -> Callable[[int], Shown]:
        return Reader(self.world, self.notebook.playbook).shown

    async def learn(self, lived: Lived, lessons: Sequence[str]) -> None:
        await self.notebook.learn(lived, lessons, self.proves)

    def known(self) -> list[str]:
        return self.notebook.known()

    async def proves(self, operations: Sequence[Operation], text: str) -> bool:
        return True


class Gated(Itemised):
    """Ours: what the curator accepts plays the same tasks with and without, half of its topic."""

    async def proves(self, operations: Sequence[Operation], text: str) -> bool:
        kind = "wrong" if self.world.is_wrong(text) else "right"
        fresh = self.chance.randrange(10**9)
        (topic, _), *_ = rules_in([text])
        tasks = [
            self.world.task_about(topic, fresh + number) if number % 2 else fresh + number
            for number in range(PAIRS)
        ]
        trials = Trials(self.world)
        champion = self.notebook.playbook
        challenger = extended(champion, operations)
        verdict = await compared(trials, champion, challenger, tasks)
        self.rollouts += trials.rollouts
        self.tried[kind] += 1
        self.promoted[kind] += verdict.outcome == "better"
        return verdict.outcome == "better"


def _counted(lived: Lived) -> Iterator[Tag]:
    helpful: Counter[str] = Counter()
    harmful: Counter[str] = Counter()
    for bullets, good in lived:
        (helpful if good else harmful).update(bullets)
    for bullet in {**helpful, **harmful}:
        yield Tag(id=bullet, helpful=helpful[bullet], harmful=harmful[bullet])


class Trials:
    """An environment that plays both arms of a lesson; what that takes is counted."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._readers: tuple[Reader, Reader] | None = None
        self.rollouts = 0

    async def play(
        self, champion: ContextPlaybook, challenger: ContextPlaybook, seeds: Sequence[int]
    ) -> list[Pair]:
        if self._readers is None:
            self._readers = Reader(self._world, champion), Reader(self._world, challenger)
        one, other = self._readers
        self.rollouts += 2 * len(seeds)
        return [Pair(champion=one.plays(s), challenger=self._other(other, s)) for s in seeds]

    def _other(self, reader: Reader, seed: int) -> float:
        noisy = drawn("noise", seed) < self._world.setting.noise
        return reader.plays(seed, luck="its own" if noisy else "")


POLICIES: dict[str, type[Policy]] = {
    "full rewrite": Rewriting,
    "ADD only": Appending,
    "itemised": Itemised,
    "gated": Gated,
}
