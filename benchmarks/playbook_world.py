"""Measures machinery, not language models: how playbooks fare when lessons are partly wrong.

A hidden table says which action is right for each topic; topics follow Zipf's law. Only the stub
that plays the agent and the stub that proposes lessons see it. The agent follows the rules that it
is shown, wrong ones, too, and the more it is shown, the more it overlooks. A share of the lessons
is wrong or repeats what is known, and the confidence they come with says next to nothing. No
parameter was chosen by its results; what was changed since the first run, and why, is in
``docs/reference/playbook-world.md``.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import time
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import accumulate
from statistics import fmean, median

from agentcore.ace.content import Draft
from agentcore.ace.experiment import Experiment, Split
from agentcore.ace.models import ContextDelta, ContextPlaybook
from agentcore.ace.ops import Add, Operation, Remove, Tag, apply, parse_operations
from agentcore.ace.paired import compared
from agentcore.ace.ports import Pair
from agentcore.ace.rendering import Shelf
from agentcore.ace.sequential import Evidence
from agentcore.ace.simple_curator import SimpleCurator
from agentcore.kit.jsonvalue import JsonObject

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STEPS, EVERY = 3000, 50
# Of the 50 traces of an evolution, failures first: 2,040 in 3,000 steps, as in facts/ace.md.
LESSONS = 34
TOPICS, ACTIONS = 120, 9
BUDGET, PAIRS, MOST_TASKS = 600, 48, 2000
RIGHT, WRONG, BOTH, NONE = 0.95, 0.05, 0.5, 0.25
REWRITTEN, COLLAPSE = 0.97, 0.02
# A step that loses more than this share of what was known is called a collapse.
COLLAPSED = 0.2
# Task numbers from here on say their topic: who asks an environment may choose the task.
CHOSEN = 10**12
RULE = re.compile(r"topic(\d+)x use act(\d+)")
Lived = list[tuple[tuple[str, ...], bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """``dilution``: lines that cost half of the success; ``bad``: the share of wrong lessons;
    ``noise``: the share of episodes in which the arms of a pair have luck of their own.
    """

    name: str = "as fixed"
    dilution: float = 400.0
    bad: float = 0.15
    repeated: float = 0.3
    noise: float = 0.0


SETTINGS = (
    Setting(),
    Setting(name="half the dilution", dilution=800.0),
    Setting(name="no dilution", dilution=float("inf")),
    Setting(name="5 % bad", bad=0.05),
    Setting(name="30 % bad", bad=0.3),
    Setting(name="30 % noise", noise=0.3),
)


class World:
    def __init__(self, setting: Setting, seed: int) -> None:
        chance = random.Random(seed)
        self.setting = setting
        self._secret = [chance.randrange(ACTIONS) for _ in range(TOPICS)]
        self._heaped = list(accumulate(1 / (rank + 1) for rank in range(TOPICS)))

    def topic_of(self, task: int) -> int:
        """The same number is the same task with the same luck."""
        if task >= CHOSEN:
            return (task - CHOSEN) % TOPICS
        return bisect(self._heaped, _drawn("topic", task) * self._heaped[-1])

    def task_about(self, topic: int, number: int) -> int:
        return CHOSEN + number * TOPICS + topic

    def rate(self, shown: Sequence[str], topic: int) -> float:
        """How often an agent that is shown these lines succeeds at a task of ``topic``."""
        said = {action for about, action in rules_in(shown) if about == topic}
        right = self._secret[topic]
        rate = NONE if not said else RIGHT if said == {right} else WRONG
        rate = BOTH if right in said and len(said) > 1 else rate
        return rate / (1 + len(shown) / self.setting.dilution)

    def lesson(self, topic: int, chance: random.Random) -> str:
        """What a reflector makes of a task: right, wrong, or right once more in other words."""
        right = self._secret[topic]
        action = right if chance.random() >= self.setting.bad else (right + 1) % ACTIONS
        repeated = chance.random() < self.setting.repeated
        words = f" as seen {chance.randrange(10**6)} times" if repeated else ""
        return f"for topic{topic}x use act{action} always{words}"

    def is_wrong(self, text: str) -> bool:
        return any(self._secret[topic] != action for topic, action in rules_in([text]))

    def rule(self, topic: int, *, wrong: bool = False) -> Add:
        action = (self._secret[topic] + wrong) % ACTIONS
        return Add(section="rules", text=f"for topic{topic}x use act{action} always")

    def oracle(self) -> ContextPlaybook:
        return book(apply({}, [self.rule(topic) for topic in range(TOPICS)], version=1).content)


def rules_in(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    for line in lines:
        if found := RULE.search(line):
            yield int(found[1]), int(found[2])


def _drawn(what: str, *of: object) -> float:
    digest = blake2b(f"{what} {of}".encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / (1 << 48)


@dataclass(frozen=True, slots=True)
class Shown:
    """What an agent is shown for one topic."""

    rate: float
    bullets: tuple[str, ...]
    lines: int


class Reader:
    """An agent with one version of a playbook: what it is shown depends on the topic alone."""

    def __init__(self, world: World, playbook: ContextPlaybook) -> None:
        self._world = world
        self._shelf = Shelf(playbook)
        self._known: dict[int, Shown] = {}

    def shown(self, topic: int) -> Shown:
        if topic not in self._known:
            found = self._shelf.render(f"a task of topic{topic}x", BUDGET)
            lines = [line for line in found.text.splitlines() if line.startswith("- ")]
            rate = self._world.rate(lines, topic)
            self._known[topic] = Shown(rate, found.stamp.bullets, len(lines))
        return self._known[topic]

    def plays(self, task: int, *, luck: str = "") -> float:
        rate = self.shown(self._world.topic_of(task)).rate
        return float(_drawn("luck", task, luck) < rate)


class Policy:
    """How what was lived through changes what is known; all get the same lessons."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.world = world
        self.chance = chance
        self.rollouts = 0
        self.tried: Counter[str] = Counter()
        self.promoted: Counter[str] = Counter()

    def reader(self) -> Callable[[int], Shown]:
        raise NotImplementedError

    async def learn(self, lived: Lived, lessons: Sequence[str]) -> None:
        raise NotImplementedError

    def known(self) -> list[str]:
        raise NotImplementedError


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


class Itemised(Policy):
    """Ours without the gate: curated, counted, pruned, rendered under a budget."""

    def __init__(self, world: World, chance: random.Random) -> None:
        super().__init__(world, chance)
        self.playbook = book({})
        self._curator = SimpleCurator(self._found)

    def reader(self) -> Callable[[int], Shown]:
        return Reader(self.world, self.playbook).shown

    async def learn(self, lived: Lived, lessons: Sequence[str]) -> None:
        self._take([*_counted(lived)])
        self._take([Remove(id=bullet) for bullet in self._harmful()])
        for text in lessons:
            operations = self._curated(text)
            support = all(isinstance(one, Tag) for one in operations)
            if operations and (support or await self._proves(operations, text)):
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

    async def _proves(self, operations: Sequence[Operation], text: str) -> bool:
        return True

    async def _found(self, delta: ContextDelta) -> ContextPlaybook:
        return self.playbook

    def _harmful(self) -> list[str]:
        bullets = [place.bullet for place in Draft.of(self.playbook.content).bullets()]
        return [one.id for one in bullets if one.harmful > 20 and one.harmful > 2 * one.helpful]

    def _take(self, operations: Sequence[Operation]) -> None:
        self.playbook = _with(self.playbook, operations)


class Gated(Itemised):
    """Ours: what the curator accepts plays the same tasks with and without, half of its topic."""

    async def _proves(self, operations: Sequence[Operation], text: str) -> bool:
        kind = "wrong" if self.world.is_wrong(text) else "right"
        fresh = self.chance.randrange(10**9)
        (topic, _), *_ = rules_in([text])
        tasks = [
            self.world.task_about(topic, fresh + number) if number % 2 else fresh + number
            for number in range(PAIRS)
        ]
        trials = Trials(self.world)
        challenger = _with(self.playbook, operations)
        verdict = await compared(trials, self.playbook, challenger, tasks)
        self.rollouts += trials.rollouts
        self.tried[kind] += 1
        self.promoted[kind] += verdict.outcome == "better"
        return verdict.outcome == "better"


POLICIES: dict[str, type[Policy]] = {
    "full rewrite": Rewriting,
    "ADD only": Appending,
    "itemised": Itemised,
    "gated": Gated,
}


def _with(playbook: ContextPlaybook, operations: Sequence[Operation]) -> ContextPlaybook:
    version = playbook.version + 1
    content = apply(playbook.content, operations, version=version).content
    return playbook.model_copy(update={"content": content, "version": version})


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
        noisy = _drawn("noise", seed) < self._world.setting.noise
        return reader.plays(seed, luck="its own" if noisy else "")


@dataclass
class Run:
    """One policy in one world, and what it is judged by."""

    policy: Policy
    successes: list[bool] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    worst: float = 0.0
    collapses: int = 0

    async def play(self, steps: int, *, first: int) -> None:
        for start in range(0, steps, EVERY):
            lived, topics = self._lived(range(first + start, first + start + EVERY))
            world, chance = self.policy.world, self.policy.chance
            lessons = [world.lesson(topic, chance) for topic in topics[:LESSONS]]
            before = Counter(self.policy.known())
            await self.policy.learn(lived, lessons)
            lost = (before - Counter(self.policy.known())).total()
            if before and lost > 1:
                self.worst = max(self.worst, lost / before.total())
                self.collapses += lost / before.total() > COLLAPSED

    def _lived(self, tasks: Sequence[int]) -> tuple[Lived, list[int]]:
        """What was shown and how it went; the topics to learn of, failures first."""
        world, reader = self.policy.world, self.policy.reader()
        lived: Lived = []
        topics: dict[bool, list[int]] = {False: [], True: []}
        for task in tasks:
            topic = world.topic_of(task)
            shown = reader(topic)
            good = _drawn("luck", task, "") < shown.rate
            self.successes.append(good)
            self.lines.append(shown.lines)
            lived.append((shown.bullets, good))
            topics[good].append(topic)
        return lived, topics[False] + topics[True]


@dataclass(frozen=True, slots=True)
class Result:
    """``final``: success over the last 500 tasks; ``all``: over all of them."""

    final: float
    all: float
    attainable: float
    bullets: int
    wrong: int
    worst: float
    collapses: int
    lines: float
    rollouts: int
    wrong_tried: int
    wrong_promoted: int

    def __str__(self) -> str:
        gate = f"; gate: {self.rollouts} episodes, let in {self.wrong_promoted} of "
        return (
            f"final {self.final:.2f} of {self.attainable:.2f}, all {self.all:.2f}; "
            f"{self.bullets} bullets, {self.wrong} wrong, {self.lines:.0f} lines shown; "
            f"{self.collapses} collapses, worst loss {self.worst:.0%}"
        ) + (f"{gate}{self.wrong_tried} wrong" if self.rollouts else "")


async def lived(setting: Setting, policy: str, seed: int, steps: int = STEPS) -> Result:
    world = World(setting, seed)
    judged = POLICIES[policy](world, random.Random(f"{setting.name} {policy} {seed}"))
    run = Run(judged)
    await run.play(steps, first=seed * 10**5)
    known = judged.known()
    return Result(
        final=fmean(run.successes[-500:]),
        all=fmean(run.successes),
        attainable=attainable(world),
        bullets=len(known),
        wrong=sum(map(world.is_wrong, known)),
        worst=run.worst,
        collapses=run.collapses,
        lines=fmean(run.lines[-500:]),
        rollouts=judged.rollouts,
        wrong_tried=judged.tried["wrong"],
        wrong_promoted=judged.promoted["wrong"],
    )


def attainable(world: World) -> float:
    """Success with all of the hidden table at hand, under the same budget: its expectation."""
    reader = Reader(world, world.oracle())
    weights = [1 / (rank + 1) for rank in range(TOPICS)]
    rates = [reader.shown(topic).rate for topic in range(TOPICS)]
    return sum(w * r for w, r in zip(weights, rates, strict=True)) / sum(weights)


def tried(experiment: Experiment, arms: tuple[Reader, Reader], tasks: range) -> Experiment:
    """Live tasks, each in the arm that it is drawn into, until something is decided.

    ``arms`` are agents without and with the delta.
    """
    split = Split(
        experiment_id=experiment.experiment_id,
        delta_id=experiment.delta_id,
        stage=experiment.stage,
        operations=(),
    )
    for task in tasks:
        treated = split.treats("world", f"task-{task}")
        experiment = experiment.observed(arms[treated].plays(task), treated=treated)
        step = experiment.next_step(stage_outcomes=20, most_outcomes=MOST_TASKS)
        if step == "widen":
            experiment = experiment.widened()
            split = split.model_copy(update={"stage": experiment.stage})
        elif step != "stay":
            break
    return experiment


def planted(setting: Setting, seed: int) -> Experiment:
    """Five wrong rules about the commonest topics got in; a hold-out goes on without them."""
    begun = begin(f"planted {seed}").promoted(horizon=MOST_TASKS)
    return tried(begun, _with_wrong_rules(setting, seed), live(seed))


def offered(setting: Setting, seed: int) -> Experiment:
    """The same rules in a canary, as if a model had proposed them."""
    return tried(begin(f"offered {seed}"), _with_wrong_rules(setting, seed), live(seed))


def null(setting: Setting, seed: int, most: int = MOST_TASKS) -> Experiment:
    """A canary of a lesson that changes nothing."""
    world = World(setting, seed)
    reader = Reader(world, world.oracle())
    return tried(begin(f"null {seed}"), (reader, reader), live(seed, most))


async def null_pairs(setting: Setting, seed: int) -> bool:
    """Whether a lesson that changes nothing is promoted by pairs that share no luck at all."""
    world = World(setting, seed)
    reader = Reader(world, world.oracle())

    class Apart:
        async def play(
            self, champion: ContextPlaybook, challenger: ContextPlaybook, seeds: Sequence[int]
        ) -> list[Pair]:
            return [
                Pair(champion=reader.plays(s), challenger=reader.plays(s, luck="its own"))
                for s in seeds
            ]

    same = world.oracle()
    verdict = await compared(Apart(), same, same, range(seed * 10**6, seed * 10**6 + PAIRS))
    return verdict.outcome == "better"


def _with_wrong_rules(setting: Setting, seed: int) -> tuple[Reader, Reader]:
    world = World(setting, seed)
    good = world.oracle()
    bad = _with(good, [world.rule(topic, wrong=True) for topic in range(5)])
    return Reader(world, good), Reader(world, bad)


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


def policies(settings: Sequence[Setting], seeds: range, steps: int = STEPS) -> None:
    for setting in settings:
        print(f"\n{setting.name}: {setting}, {steps} steps")
        for policy in POLICIES:
            for seed in seeds:
                found = asyncio.run(lived(setting, policy, seed, steps))
                print(f"  {policy:13} seed {seed}: {found}", flush=True)


def decisions(runs: int, nulls: int) -> None:
    """Of the gate that live tasks decide, in the setting that was fixed first."""
    for name, judged in (("hold-out", planted), ("canary", offered)):
        ended = [judged(SETTINGS[0], seed) for seed in range(runs)]
        tasks = sorted(one.evidence.count for one in ended if one.evidence.worse.has_won())
        middle = f", after {median(tasks):.0f} tasks in the median" if tasks else ""
        print(f"wrong rules planted, {name}: caught in {len(tasks)} of {runs} runs{middle}")
    promoted = sum(null(SETTINGS[0], seed).evidence.better.has_won() for seed in range(nulls))
    print(f"lessons that change nothing: {promoted} of {nulls} canaries promoted them")
    paired = sum(asyncio.run(null_pairs(SETTINGS[0], seed)) for seed in range(10 * nulls))
    print(f"the same by pairs without common luck: {paired} of {10 * nulls}", flush=True)


def run(*, quick: bool = False) -> None:
    print((__doc__ or "").partition("\n")[0])
    if quick:
        policies(SETTINGS[:1], range(1), 600)
        decisions(2, 2)
    else:
        policies(SETTINGS[:2], range(2))
        decisions(20, 40)


def main() -> None:
    """One part of the published tables: ``python -m benchmarks.playbook_world --setting 2``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--setting", type=int, choices=range(len(SETTINGS)))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    began = time.process_time()
    if options.setting is None:
        decisions(100, 200)
    else:
        seeds = range(options.first, options.first + options.seeds)
        policies(SETTINGS[options.setting : options.setting + 1], seeds)
    print(f"{time.process_time() - began:.0f} s of CPU")


if __name__ == "__main__":
    main()
