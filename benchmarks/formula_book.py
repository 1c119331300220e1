"""Measures machinery, not language models: real questions, and formulas that are partly wrong.

The texts are FormulaBook's, the finance questions of github.com/ace-agent/ace (`finance/data`),
which is not part of this project: give its folder. Each question is to be answered by one of 50
formulas. The stub of an agent answers rightly if what it is shown under 600 tokens states the right
formula of that name and no wrong one; it is asked without the formula and its name. After each
failure a stub of a reflector states the formula, in 20 % of the cases another one's, and repeats
30 % of what it says in other words. It learns from the 500 questions of the training part, the gate
plays the 300 of the validation part, and what is told is the success at the 200 of the test part.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from agentcore.ace.models import ContextPlaybook
from agentcore.ace.ops import Add, Operation
from agentcore.ace.paired import compared
from agentcore.ace.ports import Pair
from agentcore.ace.rendering import Shelf
from benchmarks.playbook_hidden import book, extended
from benchmarks.playbook_policies import PAIRS, Lived, Notebook

PARTS = ("formula_train_subset_500", "formula_val_subset_300", "formula_test")
QUESTION = re.compile(
    r"Use formula (?P<name>.+?) to answer the question.*?Formula: (?P<formula>.+?),? Explanation: "
    r".+? Question: (?P<question>.+?)\.? Answer:",
    re.DOTALL,
)
BUDGET, EVERY = 600, 50
WRONG, REPEATED = 0.2, 0.3
LONGEST = 300


@dataclass(frozen=True, slots=True)
class Item:
    name: str
    formula: str
    question: str


@dataclass(frozen=True, slots=True)
class FormulaBook:
    train: list[Item]
    validation: list[Item]
    test: list[Item]


def read(folder: Path) -> FormulaBook:
    return FormulaBook(*(items((folder / f"{part}.jsonl").read_text()) for part in PARTS))


def items(lines: str) -> list[Item]:
    found = (QUESTION.match(json.loads(line)["context"]) for line in lines.splitlines() if line)
    return [Item(*(" ".join(text.split()) for text in each.groups())) for each in found if each]


def stated(name: str, formula: str) -> str:
    return f"{name} :: {formula} ::"


class Agent:
    """With one version of a playbook."""

    def __init__(self, playbook: ContextPlaybook) -> None:
        self._shelf = Shelf(playbook)

    def answers(self, item: Item) -> tuple[bool, tuple[str, ...]]:
        """Whether the answer is right, and the bullets that were shown."""
        shown = self._shelf.render(item.question, BUDGET)
        about = [line for line in shown.text.splitlines() if f"] {item.name} :: " in line]
        right = [stated(item.name, item.formula) in line for line in about]
        return bool(right) and all(right), shown.stamp.bullets

    def succeeds(self, asked: Sequence[Item]) -> float:
        return fmean(self.answers(item)[0] for item in asked)


@dataclass
class Learner:
    """``gated``: what is new has to win pairs of validation questions first."""

    texts: FormulaBook
    chance: random.Random
    gated: bool
    notebook: Notebook = field(default_factory=Notebook)
    episodes: int = 0

    async def learn(self) -> None:
        asked = self.texts.train
        for start in range(0, len(asked), EVERY):
            agent = Agent(self.notebook.playbook)
            lived: Lived = []
            lessons: list[str] = []
            for item in asked[start : start + EVERY]:
                right, bullets = agent.answers(item)
                lived.append((bullets, right))
                lessons += [] if right else self.lessons(item)
            await self.take(lived, lessons)

    def lessons(self, item: Item) -> list[str]:
        wrong = self.chance.random() < WRONG
        said = self.chance.choice(self.texts.train).formula if wrong else item.formula
        lesson = f"{stated(item.name, said)} asked as: {item.question[:LONGEST]}"
        again = f"{lesson} Seen {self.chance.randrange(10**6)} times."
        return [lesson, again] if self.chance.random() < REPEATED else [lesson]

    async def take(self, lived: Lived, lessons: Sequence[str]) -> None:
        await self.notebook.learn(lived, lessons, self.proves)

    async def proves(self, operations: Sequence[Operation], text: str) -> bool:
        if not self.gated:
            return True
        name = text.partition(" :: ")[0]
        about = [item for item in self.texts.validation if item.name == name]
        others = self.chance.choices(self.texts.validation, k=PAIRS)
        asked = [about[n % len(about)] if about and n % 2 else others[n] for n in range(PAIRS)]
        champion = self.notebook.playbook
        trials = Questions(asked)
        verdict = await compared(
            trials, champion, extended(champion, operations), range(len(asked))
        )
        self.episodes += trials.episodes
        return verdict.outcome == "better"


class AppendingLearner(Learner):
    """ADD only: everything that is said is kept."""

    async def take(self, lived: Lived, lessons: Sequence[str]) -> None:
        added = [Add(section="rules", text=text) for text in lessons]
        self.notebook.playbook = extended(self.notebook.playbook, added)


class Questions:
    """Plays questions with both playbooks; a question has no luck, so pairs are perfectly alike."""

    def __init__(self, asked: Sequence[Item]) -> None:
        self._asked = asked
        self._agents: tuple[Agent, Agent] | None = None
        self.episodes = 0

    async def play(
        self, champion: ContextPlaybook, challenger: ContextPlaybook, seeds: Sequence[int]
    ) -> list[Pair]:
        self._agents = self._agents or (Agent(champion), Agent(challenger))
        self.episodes += 2 * len(seeds)
        return [self._pair(*self._agents, self._asked[seed]) for seed in seeds]

    def _pair(self, one: Agent, other: Agent, item: Item) -> Pair:
        return Pair(champion=one.answers(item)[0], challenger=other.answers(item)[0])


def attainable(texts: FormulaBook) -> float:
    """With every formula once, rightly, beside one question that asks for it."""
    first = {item.name: item for item in reversed(texts.train)}
    lines = [
        Add(
            section="rules",
            text=f"{stated(item.name, item.formula)} asked as: {item.question[:LONGEST]}",
        )
        for item in first.values()
    ]
    return Agent(extended(book({}), lines)).succeeds(texts.test)


def learners(texts: FormulaBook, seed: int) -> dict[str, Learner]:
    def chance() -> random.Random:
        return random.Random(seed)

    return {
        "ADD only": AppendingLearner(texts, chance(), gated=False),
        "itemised": Learner(texts, chance(), gated=False),
        "gated": Learner(texts, chance(), gated=True),
    }


def run(folder: Path, seeds: int) -> None:
    print((__doc__ or "").partition("\n")[0])
    texts = read(folder)
    sizes = [len(part) for part in (texts.train, texts.validation, texts.test)]
    print(f"{sizes} questions, attainable {attainable(texts):.3f}")
    for seed in range(seeds):
        for name, learner in learners(texts, seed).items():
            asyncio.run(learner.learn())
            success = Agent(learner.notebook.playbook).succeeds(texts.test)
            told = f"{len(learner.notebook.known())} bullets, {learner.episodes} episodes"
            print(f"  {name:9} seed {seed}: {success:.3f}; {told}", flush=True)


def main() -> None:
    """``python -m benchmarks.formula_book FOLDER``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="finance/data of github.com/ace-agent/ace")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    run(options.folder, options.seeds)


if __name__ == "__main__":
    main()
