"""How well short texts fit a query: BM25, with the inverse document frequency that stays positive.

A playbook has some hundreds of one-line texts, so plain dictionaries do: no library, no model.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import lru_cache

# How soon repeating a term stops counting, and how much long texts are discounted.
SATURATION, LENGTH = 1.2, 0.75
_WORD = re.compile(r"[^\W_]+")
# Scripts that put no spaces between words: Thai, Lao, Khmer, kana, Chinese characters.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")
# In a handful of texts a rare "the" would count as much as a rare name.
_EMPTY = frozenset(
    re.findall(
        r"\w+",
        """all and any are but can for from has have into its not one our out that the their them
        then there these they this was were what when which will with you your""",
    )
)


class Index:
    """Of texts that are known by their position."""

    def __init__(self, texts: Sequence[str]) -> None:
        counts = [Counter(terms(text)) for text in texts]
        lengths = [count.total() for count in counts]
        mean = sum(lengths) / len(lengths) if any(lengths) else 1.0
        self._weights: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for position, count in enumerate(counts):
            damping = SATURATION * (1 - LENGTH + LENGTH * lengths[position] / mean)
            for term, often in count.items():
                weight = often * (SATURATION + 1) / (often + damping)
                self._weights[term].append((position, weight))
        self._rarity = {
            term: math.log(1 + (len(texts) - len(found) + 0.5) / (len(found) + 0.5))
            for term, found in self._weights.items()
        }

    def scores(self, query: str) -> dict[int, float]:
        """The scores of the texts that share a term with ``query``; all are above zero."""
        scores: defaultdict[int, float] = defaultdict(float)
        for term in sorted(set(terms(query)) & self._rarity.keys()):
            for position, weight in self._weights[term]:
                scores[position] += self._rarity[term] * weight
        return dict(scores)


def terms(text: str) -> list[str]:
    """Words without case and plural ending; pairs of characters where words have no borders."""
    return [term for word in _WORD.findall(text.casefold()) for term in _terms_of(word)]


@lru_cache(maxsize=16_384)
def _terms_of(word: str) -> tuple[str, ...]:
    if word.isascii():
        return _spaced(word)
    found: list[str] = []
    begin = 0
    for run in _UNSPACED.finditer(word):
        found += _spaced(word[begin : run.start()])
        found += _pairs(run.group())
        begin = run.end()
    return (*found, *_spaced(word[begin:]))


def _spaced(word: str) -> tuple[str, ...]:
    if word in _EMPTY or (len(word) < 3 and not word.isdecimal()):
        return ()
    plural = len(word) > 3 and word.endswith("s") and word[-2] != "s"
    return (word[:-1] if plural else word,)


def _pairs(run: str) -> list[str]:
    return [run[at : at + 2] for at in range(max(1, len(run) - 1))]
