"""The benchmark does what it says, on a few questions of our own in the form of the real ones."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from benchmarks import formula_book
from benchmarks.formula_book import (
    PARTS,
    Agent,
    FormulaBook,
    Learner,
    attainable,
    learners,
    read,
    run,
    stated,
)
from benchmarks.playbook_hidden import book

FORMULAS = {
    "Average Speed": ("v = d / t", "A cyclist rides {} km in {} hours. How fast is she?"),
    "Water Depth": ("h = p / (r g)", "The pressure under the lake is {} Pa, density {}. How deep?"),
    "Loan Share": ("s = l / w", "A farm worth {} has debts of {}. What part is owed?"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part, name in enumerate(PARTS):
        lines = [
            json.dumps(
                {
                    "context": f"Use formula {title} to answer the question. Formula: {formula}, "
                    f"Explanation: as usual. Question: {question.format(part * 7 + number, 3)}. "
                    "Answer:"
                }
            )
            for number in range(6)
            for title, (formula, question) in FORMULAS.items()
        ]
        (tmp_path / f"{name}.jsonl").write_text("\n".join([*lines, '{"context": "other"}', ""]))
    return tmp_path


@pytest.fixture
def texts(folder: Path) -> FormulaBook:
    return read(folder)


def test_questions_are_asked_without_their_formula(texts: FormulaBook) -> None:
    assert [len(texts.train), len(texts.validation), len(texts.test)] == [18, 18, 18]
    item = texts.train[0]
    assert (item.name, item.formula) == ("Average Speed", "v = d / t")
    assert item.question == "A cyclist rides 0 km in 3 hours. How fast is she?"
    assert attainable(texts) == 1.0
    assert Agent(book({})).succeeds(texts.test) == 0.0


async def test_a_wrong_formula_beside_the_right_one_misleads(texts: FormulaBook) -> None:
    learner = Learner(texts, random.Random(0), gated=False)
    item = texts.test[0]
    await learner.take([], [f"{stated(item.name, item.formula)} asked as: how fast?"])
    right, bullets = Agent(learner.notebook.playbook).answers(item)
    assert (right, bullets) == (True, ("b1",))
    await learner.take([], [f"{stated(item.name, 'v = t / d')} asked as: how quick by bicycle?"])
    assert not Agent(learner.notebook.playbook).answers(item)[0]


async def test_the_gate_lets_in_what_answers_and_nothing_else(texts: FormulaBook) -> None:
    learner = learners(texts, 0)["gated"]
    item = texts.test[0]
    await learner.take([], [f"{stated(item.name, 'v = t / d')} asked as: how fast?"])
    assert learner.notebook.known() == []
    await learner.take([], [f"{stated(item.name, item.formula)} asked as: how fast?"])
    assert len(learner.notebook.known()) == 1
    assert learner.episodes > 0


def test_it_says_first_what_it_measures(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formula_book, "EVERY", 6)
    run(folder, 1)
    told = capsys.readouterr().out
    assert told.startswith("Measures machinery, not language models")
    assert "gated     seed 0: " in told
