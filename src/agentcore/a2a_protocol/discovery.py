"""Which agents fit a wish, best first. Pure: what an agent offers and what is asked are terms.

The store keeps each agent's terms in an index and adds up the same weights; ``rank`` is what its
answer has to equal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from agentcore.a2a_protocol.models.agent import AgentRecord

WORD = re.compile(r"\w+")
# An agent that can do what is asked beats one whose description only speaks of it.
CAPABILITY, IN_NAME, IN_TEXT = 10, 3, 1
# The first letter of a term says of what kind it is.
ABLE, SKILLED, TAGGED, NAMED, SAID = "c", "s", "t", "n", "w"
# What is longer fits into no index, and nobody asks for it.
LONGEST_TERM = 255
MOST_WORDS, MOST_ASKED = 1000, 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Of each kind that is given, at least one has to fit; all kinds together rank.

    A capability is found among the skills too, and a skill by its id, its name or a tag.
    """

    capabilities: tuple[str, ...] = ()
    skills: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    agent: AgentRecord
    score: int

    @property
    def order(self) -> tuple[int, str]:
        return -self.score, self.agent.agent_id


@dataclass(frozen=True, slots=True)
class Demand:
    """Terms of which at least one has to be there; each that is adds its weight."""

    weights: dict[str, int]


def demands(wish: Wish) -> list[Demand]:
    words = sorted(islice(_words(wish.text), MOST_ASKED))
    asked = [
        {ABLE + name: CAPABILITY for name in _folded(wish.capabilities)},
        {SKILLED + name: CAPABILITY for name in _folded(wish.skills)},
        {TAGGED + name: CAPABILITY for name in _folded(wish.tags)},
        {NAMED + word: IN_NAME for word in words} | {SAID + word: IN_TEXT for word in words},
    ]
    return [Demand(weights) for weights in asked if weights]


def terms(agent: AgentRecord) -> frozenset[str]:
    """Everything that an agent can be found by."""
    skilled, tagged = set(_skill_names(agent)), set(_skill_tags(agent))
    able = {*agent.capabilities, *skilled, *tagged}
    said = islice(_words(" ".join([*sorted(able), agent.description])), MOST_WORDS)
    kinds = (
        (ABLE, _folded(able)),
        (SKILLED, _folded(skilled | tagged)),
        (TAGGED, _folded(tagged)),
        (NAMED, _words(agent.name)),
        (SAID, said),
    )
    return frozenset(
        kind + name for kind, names in kinds for name in names if len(name) <= LONGEST_TERM
    )


def rank(agents: Iterable[AgentRecord], wish: Wish) -> list[Match]:
    """The agents that fit; equal ones by id, so that pages neither repeat nor skip."""
    asked = demands(wish)
    matches = (_match(agent, asked) for agent in agents)
    return sorted((match for match in matches if match), key=lambda match: match.order)


def _match(agent: AgentRecord, asked: list[Demand]) -> Match | None:
    offered = terms(agent)
    scores = [
        sum(weight for term, weight in demand.weights.items() if term in offered)
        for demand in asked
    ]
    return Match(agent, sum(scores)) if all(scores) else None


def _skill_names(agent: AgentRecord) -> Iterator[str]:
    for skill in agent.skills:
        for name in ("id", "name"):
            if isinstance(value := skill.get(name), str):
                yield value


def _skill_tags(agent: AgentRecord) -> Iterator[str]:
    for skill in agent.skills:
        tags = skill.get("tags")
        yield from (tag for tag in (tags if isinstance(tags, list) else ()) if isinstance(tag, str))


def _folded(names: Iterable[str]) -> set[str]:
    return {name.casefold() for name in names}


def _words(text: str) -> Iterator[str]:
    """The words of a text, each once, in the order of their appearance."""
    return iter(dict.fromkeys(WORD.findall(text.casefold().replace("_", " "))))
