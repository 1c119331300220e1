"""Which agents fit a wish, best first. Pure: the store's rows in, a ranking out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from agentcore.a2a_protocol.models.agent_card import AgentRecord

WORD = re.compile(r"\w+")
# An agent that can do what is asked beats one whose description only speaks of it.
CAPABILITY, SKILL, IN_NAME, IN_TEXT = 10, 10, 3, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Of each kind that is given, at least one has to fit; all kinds together rank."""

    capabilities: tuple[str, ...] = ()
    skills: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    agent: AgentRecord
    score: int

    @property
    def order(self) -> tuple[int, str]:
        return -self.score, self.agent.agent_id


def rank(agents: Iterable[AgentRecord], wish: Wish) -> list[Match]:
    """The agents that fit; equal ones by id, so that pages neither repeat nor skip."""
    matches = (_match(agent, wish) for agent in agents)
    return sorted((match for match in matches if match), key=lambda match: match.order)


def _match(agent: AgentRecord, wish: Wish) -> Match | None:
    skilled = _folded(_skill_words(agent))
    able = _folded(agent.capabilities) | skilled
    capabilities = len(_folded(wish.capabilities) & able)
    skills = len(_folded(wish.skills) & skilled)
    words = _words(wish.text)
    in_name = len(words & _words(agent.name))
    in_text = len(words & (_words(agent.description) | _words(" ".join(able))))
    asked = ((wish.capabilities, capabilities), (wish.skills, skills), (words, in_name + in_text))
    if any(wanted and not found for wanted, found in asked):
        return None
    score = capabilities * CAPABILITY + skills * SKILL + in_name * IN_NAME + in_text * IN_TEXT
    return Match(agent, score)


def _skill_words(agent: AgentRecord) -> Iterable[str]:
    for skill in agent.skills:
        for name in ("id", "name"):
            if isinstance(value := skill.get(name), str):
                yield value
        tags = skill.get("tags")
        yield from (tag for tag in (tags if isinstance(tags, list) else ()) if isinstance(tag, str))


def _folded(names: Iterable[str]) -> set[str]:
    return {name.casefold() for name in names}


def _words(text: str) -> set[str]:
    return set(WORD.findall(text.casefold().replace("_", " ")))
