"""Whether two lessons say the same in other words, without a model.

Texts are compared by their shingles of four characters, weighted by how rare each is among the
texts: what stands in every lesson of a playbook makes no two of them alike. Lessons that differ in
a number, a name or a negation are never the same, however alike they look.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import cached_property, lru_cache

from agentcore.ace.content import normalised

SHINGLE = 4
# Of a short lesson they take 15 KB.
MOST_SHINGLED = 1024
ALIKE = 0.8
# Of the shingles of either, unweighted, alike texts share so many at least.
NEAR = 0.5
# Of a rewritten lesson so much at least must be left of what it said.
KEPT = 0.5
_NEGATIONS = frozenset(
    re.findall(
        r"\S+",
        """no not never none nothing without cannot avoid stop skip except unless only before after
        always don't doesn't isn't can't won't shouldn't mustn't""",
    )
)
_WORD = re.compile(r"[^\s,;:!?()]+")
_NAMED = re.compile(r"\d|_|/|['\"`]|\w\.\w|[a-z][A-Z]")


class Likeness:
    """Of the texts of a playbook, by the ids of their bullets."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self._known = {bullet: shingles(text) for bullet, text in texts.items()}

    def like(self, text: str) -> str | None:
        """The bullet that says what ``text`` says."""
        asked = shingles(text)
        # Weighing takes longer than counting, and hardly any text comes near another.
        near = [
            bullet
            for bullet, known in self._known.items()
            if len(asked & known) >= NEAR * max(len(asked), len(known))
        ]
        best, found = ALIKE, None
        for bullet in near:
            if not _same_names(text, self._texts[bullet]):
                continue
            likeness = self._cosine(asked, self._known[bullet])
            if likeness >= best:
                best, found = likeness, bullet
        return found

    def _cosine(self, one: frozenset[str], other: frozenset[str]) -> float:
        lengths = self._weighed(one) * self._weighed(other)
        return self._weighed(one & other) / math.sqrt(lengths) if lengths else 0.0

    def _weighed(self, found: frozenset[str]) -> float:
        return sum(map(self._weight.__getitem__, found))

    @cached_property
    def _weight(self) -> Mapping[str, float]:
        """Rarity, squared as it stands in both factors of a product."""
        often = Counter(shingle for known in self._known.values() for shingle in known)
        total = 1 + len(self._known)
        weights: defaultdict[str, float] = defaultdict(lambda: (math.log(total) + 1) ** 2)
        for shingle, count in often.items():
            weights[shingle] = (math.log(total / (1 + count)) + 1) ** 2
        return weights


def gutted(before: str, after: str) -> bool:
    """Whether a rewritten text has lost most of what it said."""
    old = shingles(before)
    return len(old & shingles(after)) < KEPT * len(old)


@lru_cache(maxsize=MOST_SHINGLED)
def shingles(text: str) -> frozenset[str]:
    flat = f" {normalised(text)} "
    return frozenset(flat[at : at + SHINGLE] for at in range(max(1, len(flat) - SHINGLE + 1)))


def _same_names(one: str, other: str) -> bool:
    return _names(one) == _names(other)


@lru_cache(maxsize=8192)
def _names(text: str) -> Counter[str]:
    """What a lesson cannot exchange without becoming another one."""
    words = [word.rstrip(".") for word in _WORD.findall(text)]
    return Counter(
        word.casefold() for word in words if word.casefold() in _NEGATIONS or _NAMED.search(word)
    )
