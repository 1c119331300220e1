"""The hidden table of the simulation, and a stub of an agent that follows what it is shown."""

from __future__ import annotations

import random
import re
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import accumulate

from agentcore.ace.models import ContextPlaybook
from agentcore.ace.ops import Add, Operation, apply
from agentcore.ace.rendering import Shelf
from agentcore.kit.jsonvalue import JsonObject

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TOPICS, ACTIONS = 120, 9
BUDGET = 600
RIGHT, WRONG, BOTH, NONE = 0.95, 0.05, 0.5, 0.25
# Task numbers from here on say their topic: who asks an environment may choose the task.
CHOSEN = 10**12
RULE = re.compile(r"topic(\d+)x use act(\d+)")


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
        return bisect(self._heaped, drawn("topic", task) * self._heaped[-1])

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


def drawn(what: str, *of: object) -> float:
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
        return float(drawn("luck", task, luck) < rate)


def extended(playbook: ContextPlaybook, operations: Sequence[Operation]) -> ContextPlaybook:
    version = playbook.version + 1
    content = apply(playbook.content, operations, version=version).content
    return playbook.model_copy(update={"content": content, "version": version})


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
