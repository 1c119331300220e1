"""Measures machinery, not language models: how playbooks fare when lessons are partly wrong.

A hidden table says which action is right for each topic; topics follow Zipf's law. Only the stub
that plays the agent and the stub that proposes lessons see it. The agent follows the rules that it
is shown, wrong ones, too, and the more it is shown, the more it overlooks. A share of the lessons
is wrong or repeats what is known, and the confidence they come with says next to nothing. All
parameters and seeds were fixed before the first run.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import fmean

from agentcore.ace.content import Draft
from agentcore.ace.experiment import Experiment, Split
from agentcore.ace.models import ContextPlaybook
from agentcore.ace.ops import Add, Operation, Remove, Tag, apply, without_duplicates
from agentcore.ace.paired import compared
from agentcore.ace.ports import Pair
from agentcore.ace.rendering import Shelf
from agentcore.ace.sequential import Evidence
from agentcore.kit.jsonvalue import JsonObject

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STEPS, EVERY, LESSONS = 3000, 50, 5
TOPICS, ACTIONS = 120, 9
BUDGET, SEEDS, MOST_TASKS = 600, 48, 2000
RIGHT, WRONG, BOTH, NONE = 0.95, 0.05, 0.5, 0.25
COLLAPSE = 0.02
POLICIES = ("full rewrite", "ADD only", "itemised", "gated")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """``dilution``: lines that cost half of the success; ``bad``: the share of wrong lessons."""

    name: str = "as fixed"
    dilution: float = 400.0
    bad: float = 0.15
    repeated: float = 0.3


SETTINGS = (
    Setting(),
    Setting(name="little dilution", dilution=2000.0),
    Setting(name="5 % bad", bad=0.05),
    Setting(name="30 % bad", bad=0.3),
)


class World:
    def __init__(self, setting: Setting, seed: int) -> None:
        chance = random.Random(seed)
        self.setting = setting
        self._secret = [chance.randrange(ACTIONS) for _ in range(TOPICS)]
        self._weights = [1 / (rank + 1) for rank in range(TOPICS)]

    def topic_of(self, seed: int) -> int:
        """Tasks are numbers: the same number is the same task with the same luck."""
        return random.Random(f"topic {seed}").choices(range(TOPICS), self._weights)[0]

    def plays(self, text: str, topic: int, seed: int) -> bool:
        """Whether an agent that was shown ``text`` succeeds."""
        said = {int(action) for action in re.findall(rf"topic{topic}x use act(\d+)", text)}
        right = self._secret[topic]
        rate = NONE if not said else RIGHT if said == {right} else WRONG
        rate = BOTH if right in said and len(said) > 1 else rate
        lines = text.count("\n")
        return random.Random(f"luck {seed}").random() < rate / (1 + lines / self.setting.dilution)

    def lesson(self, topic: int, chance: random.Random) -> str:
        """What a reflector makes of a failure: right, wrong, or right once more in other words."""
        right = self._secret[topic]
        action = right if chance.random() >= self.setting.bad else (right + 1) % ACTIONS
        return self.rule(topic, action, chance)

    def rule(self, topic: int, action: int, chance: random.Random) -> str:
        repeated = chance.random() < self.setting.repeated
        words = f" as seen {chance.randrange(10**6)} times" if repeated else ""
        return f"for topic{topic}x use act{action} always{words}"

    def wrong_rule(self, topic: int) -> Add:
        action = (self._secret[topic] + 1) % ACTIONS
        return Add(section="rules", text=f"for topic{topic}x use act{action} always")

    def is_wrong(self, text: str) -> bool:
        topic, action = map(int, re.findall(r"topic(\d+)x use act(\d+)", text)[0])
        return self._secret[topic] != action

    def oracle(self) -> ContextPlaybook:
        rules = [
            Add(section="rules", text=f"for topic{topic}x use act{action} always")
            for topic, action in enumerate(self._secret)
        ]
        return book(apply({}, rules, version=1).content)


@dataclass
class Run:
    """One policy in one world; what it is judged by at the end."""

    world: World
    policy: str
    chance: random.Random
    playbook: ContextPlaybook = field(default_factory=lambda: book({}))
    successes: list[bool] = field(default_factory=list)
    rollouts: int = 0
    tried: Counter[str] = field(default_factory=Counter)
    promoted: Counter[str] = field(default_factory=Counter)
    worst: float = 0.0

    def lines(self) -> list[str]:
        return [place.bullet.text for place in Draft.of(self.playbook.content).bullets()]

    def wrong(self) -> int:
        return sum(map(self.world.is_wrong, self.lines()))

    async def play(self, steps: int, *, first_seed: int) -> None:
        for start in range(0, steps, EVERY):
            shown, failed = self._lived(range(first_seed + start, first_seed + start + EVERY))
            before = len(self.lines())
            await self._evolve(shown, failed)
            if before:
                self.worst = max(self.worst, 1 - len(self.lines()) / before)

    def _lived(self, seeds: Sequence[int]) -> tuple[list[tuple[tuple[str, ...], bool]], list[int]]:
        shelf, shown, failed = Shelf(self.playbook), [], []
        for seed in seeds:
            topic = self.world.topic_of(seed)
            text, bullets = self._shown(shelf, topic)
            good = self.world.plays(text, topic, seed)
            self.successes.append(good)
            shown.append((bullets, good))
            if not good:
                failed.append(topic)
        return shown, failed

    def _shown(self, shelf: Shelf, topic: int) -> tuple[str, tuple[str, ...]]:
        """Others put all that they know into the prompt, whatever the task."""
        budget = BUDGET if self.policy in {"itemised", "gated"} else 10**6
        found = shelf.render(f"a task of topic{topic}x", budget)
        return found.text, found.stamp.bullets

    async def _evolve(self, shown: list[tuple[tuple[str, ...], bool]], failed: list[int]) -> None:
        topics = list(dict.fromkeys(failed))[:LESSONS]
        lessons = [(topic, self.world.lesson(topic, self.chance)) for topic in topics]
        if self.policy == "full rewrite":
            kept = 0.1 if self.chance.random() < COLLAPSE else 0.97
            survivors = [text for text in self.lines() if self.chance.random() < kept]
            everything = [Add(section="rules", text=text) for text in survivors]
            self.playbook = book(apply({}, everything, version=1).content)
        if self.policy in {"itemised", "gated"}:
            self._take([*self._counted(shown)])
            self._take([Remove(id=bullet) for bullet in self._harmful()])
        for topic, text in lessons:
            add = Add(section="rules", text=text)
            if self.policy != "gated" or await self._proves(add, topic):
                self._take(without_duplicates(self.playbook.content, [add]))

    def _counted(self, shown: list[tuple[tuple[str, ...], bool]]) -> Iterator[Tag]:
        helpful: Counter[str] = Counter()
        harmful: Counter[str] = Counter()
        for bullets, good in shown:
            (helpful if good else harmful).update(bullets)
        for bullet in {*helpful, *harmful}:
            yield Tag(id=bullet, helpful=helpful[bullet], harmful=harmful[bullet])

    def _harmful(self) -> list[str]:
        bullets = [place.bullet for place in Draft.of(self.playbook.content).bullets()]
        return [one.id for one in bullets if one.harmful > 20 and one.harmful > 2 * one.helpful]

    def _take(self, operations: Sequence[Operation]) -> None:
        version = self.playbook.version + 1
        content = apply(self.playbook.content, operations, version=version).content
        self.playbook = self.playbook.model_copy(update={"content": content, "version": version})

    async def _proves(self, add: Add, topic: int) -> bool:
        """The gate: the same tasks with and without the lesson, half of them of its topic."""
        kind = "wrong" if self.world.is_wrong(add.text) else "right"
        fresh = self.chance.randrange(10**9)
        own = (seed for seed in range(fresh, fresh + 10**6) if self.world.topic_of(seed) == topic)
        seeds = [next(own) if number % 2 else fresh + number for number in range(SEEDS)]
        content = apply(self.playbook.content, [add], version=self.playbook.version).content
        challenger = self.playbook.model_copy(update={"content": content})
        trials = Trials(self.world)
        verdict = await compared(trials, self.playbook, challenger, seeds)
        self.rollouts += trials.rollouts
        self.tried[kind] += 1
        self.promoted[kind] += verdict.outcome == "better"
        return verdict.outcome == "better"


class Trials:
    """An environment that plays both arms of a lesson; what that takes is counted."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.rollouts = 0

    async def play(
        self, champion: ContextPlaybook, challenger: ContextPlaybook, seeds: Sequence[int]
    ) -> list[Pair]:
        one, other = Shelf(champion), Shelf(challenger)
        self.rollouts += 2 * len(seeds)
        return [
            Pair(champion=self.one(one, seed), challenger=self.one(other, seed)) for seed in seeds
        ]

    def one(self, shelf: Shelf, seed: int) -> float:
        topic = self._world.topic_of(seed)
        text = shelf.render(f"a task of topic{topic}x", BUDGET).text
        return float(self._world.plays(text, topic, seed))


@dataclass(frozen=True, slots=True)
class Result:
    final: float
    attainable: float
    bullets: int
    wrong: int
    worst: float
    rollouts: int
    promoted_wrong: str


def attainable(world: World) -> float:
    """Success with all of the hidden table at hand, under the same budget."""
    shelf = Shelf(world.oracle())
    trials = Trials(world)
    return fmean(trials.one(shelf, seed) for seed in range(10**7, 10**7 + 500))


async def lived(setting: Setting, policy: str, seed: int, steps: int = STEPS) -> Result:
    world = World(setting, seed)
    run = Run(world, policy, random.Random(f"{setting.name} {policy} {seed}"))
    await run.play(steps, first_seed=seed * 10**5)
    return Result(
        final=fmean(run.successes[-500:]),
        attainable=attainable(world),
        bullets=len(run.lines()),
        wrong=run.wrong(),
        worst=run.worst,
        rollouts=run.rollouts,
        promoted_wrong=f"{run.promoted['wrong']} of {run.tried['wrong']}",
    )


def tried(
    world: World, experiment: Experiment, arms: tuple[Shelf, Shelf], tasks: range
) -> Experiment:
    """Live tasks, each in the arm that it is drawn into, until something is decided.

    ``arms`` are the playbooks without and with the delta.
    """
    split = Split(
        experiment_id=experiment.experiment_id,
        delta_id=experiment.delta_id,
        stage=experiment.stage,
        operations=(),
    )
    trials = Trials(world)
    for task in tasks:
        treated = split.treats("world", f"task-{task}")
        experiment = experiment.observed(trials.one(arms[treated], task), treated=treated)
        step = experiment.next_step(stage_outcomes=20, most_outcomes=MOST_TASKS)
        if step == "widen":
            experiment = experiment.widened()
            split = split.model_copy(update={"stage": experiment.stage})
        elif step != "stay":
            break
    return experiment


def planted(setting: Setting, seed: int) -> Experiment:
    """Five wrong rules about the commonest topics got in; a hold-out goes on without them."""
    world = World(setting, seed)
    good = world.oracle()
    wrong = [world.wrong_rule(topic) for topic in range(5)]
    bad = good.model_copy(update={"content": apply(good.content, wrong, version=2).content})
    begun = begin(f"planted {seed}").promoted(horizon=MOST_TASKS)
    return tried(world, begun, (Shelf(good), Shelf(bad)), live(seed))


def null(setting: Setting, seed: int, most: int = MOST_TASKS) -> Experiment:
    """A canary of a lesson that changes nothing."""
    world = World(setting, seed)
    shelf = Shelf(world.oracle())
    return tried(world, begin(f"null {seed}"), (shelf, shelf), live(seed, most))


def live(seed: int, most: int = MOST_TASKS) -> range:
    return range(seed * 10**6, seed * 10**6 + most)


def begin(name: str) -> Experiment:
    return Experiment(
        experiment_id=name, delta_id="d", evidence=Evidence.none(MOST_TASKS), started_at=NOW
    )


def book(content: JsonObject) -> ContextPlaybook:
    return ContextPlaybook.model_validate(
        {
            "playbook_id": "world",
            "agent_id": "world",
            "version": 1,
            "content": content,
            "created_at": NOW,
            "updated_at": NOW,
        }
    )


def run(*, quick: bool = False) -> None:
    print((__doc__ or "").partition("\n")[0])
    settings, seeds, steps = (SETTINGS[:1], 1, 600) if quick else (SETTINGS, 3, STEPS)
    for setting in settings:
        print(f"\n{setting.name}: {setting}, {steps} steps, seeds 0 to {seeds - 1}")
        for policy in POLICIES:
            for seed in range(seeds):
                found = asyncio.run(lived(setting, policy, seed, steps))
                print(f"  {policy:13} seed {seed}: {found}", flush=True)
    caught = [planted(SETTINGS[0], seed) for seed in range(2 if quick else 20)]
    tasks = sorted(one.evidence.count for one in caught if one.evidence.worse.has_won())
    print(
        f"\nplanted wrong rules: taken back in {len(tasks)} of {len(caught)} runs, tasks: {tasks}"
    )
    ended = [null(SETTINGS[0], seed) for seed in range(2 if quick else 100)]
    promoted = sum(one.evidence.better.has_won() for one in ended)
    print(f"lessons that change nothing: {promoted} of {len(ended)} promoted")


if __name__ == "__main__":
    run()
