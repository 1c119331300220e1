"""A playbook as the text that goes into an agent's context, within a budget of tokens.

What is shown is chosen by score; the order of what is shown is fixed (sections by their oldest
bullet, bullets by age), so that two renders of one playbook share their prefix.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from agentcore.ace.content import Bullet, Draft, Place, one_line
from agentcore.ace.models import ContextPlaybook, PlaybookStamp, RenderedContext
from agentcore.kit.jsonvalue import dumps

HEADING = "## PLAYBOOK"
_WORD = re.compile(r"[^\W_]{3,}")
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class _Line:
    section: str
    text: str
    bullet: str = ""


def estimated_tokens(text: str) -> int:
    """An upper estimate without a tokeniser: English runs to five characters a token, not four."""
    return -(-len(text.encode()) // 4)


def render(playbook: ContextPlaybook, *, task_text: str, token_budget: int) -> RenderedContext:
    """Sectioned markdown: the owner's keys, then pinned bullets, then the best for the task.

    What does not fit is left out, item by item; nothing is cut in half.
    """
    draft = Draft.of(playbook.content)
    places = [place for place in draft.bullets() if place.bullet.status == "active"]
    candidates = [
        *_owner_lines(draft.owner),
        *(_bullet_line(place) for place in ranked(places, task_text)),
    ]
    chosen = _fitting(candidates, token_budget - estimated_tokens(HEADING + "\n"))
    text = _page(chosen, _section_order(draft.owner, places))
    shown = tuple(sorted((line.bullet for line in chosen if line.bullet), key=_age))
    stamp = PlaybookStamp(
        playbook_id=playbook.playbook_id,
        version=playbook.version,
        bullets=shown,
        hash=hashlib.sha256(text.encode()).hexdigest()[:16],
    )
    return RenderedContext(text=text, tokens=estimated_tokens(text), stamp=stamp)


def ranked(places: list[Place], task_text: str) -> list[Place]:
    """Pinned ones first, then by words shared with the task times the rate of being helpful."""
    words = _words(task_text)

    def rank(place: Place) -> tuple[bool, float, tuple[int, str]]:
        score = (1 + len(words & _words(place.bullet.text))) * helpfulness(place.bullet)
        return (not place.bullet.pinned, -score, _age(place.bullet.id))

    return sorted(places, key=rank)


def helpfulness(bullet: Bullet) -> float:
    """Mean of the posterior after a uniform prior: a newcomer stands at one half."""
    return (bullet.helpful + 1) / (bullet.helpful + bullet.harmful + 2)


def _fitting(candidates: list[_Line], budget: int) -> list[_Line]:
    chosen: list[_Line] = []
    opened: set[str] = set()
    for line in candidates:
        cost = estimated_tokens(f"{line.text}\n")
        if line.section not in opened:
            cost += estimated_tokens(f"### {line.section}\n")
        if cost <= budget:
            budget -= cost
            opened.add(line.section)
            chosen.append(line)
    return chosen


def _page(lines: list[_Line], order: list[str]) -> str:
    if not lines:
        return ""
    out = [HEADING]
    for section in order:
        # Owner's items come first, in their own order; bullets by age.
        inside = sorted(
            (line for line in lines if line.section == section),
            key=lambda line: (line.bullet != "", _age(line.bullet)),
        )
        if inside:
            out += [f"### {section}", *(line.text for line in inside)]
    return "\n".join(out) + "\n"


def _section_order(owner: Mapping[str, JsonValue], places: list[Place]) -> list[str]:
    oldest: dict[str, tuple[int, str]] = {}
    for place in places:
        age = _age(place.bullet.id)
        oldest[place.section] = min(age, oldest.get(place.section, age))
    keys = sorted(_heading(key) for key in owner)
    return list(dict.fromkeys([*keys, *sorted(oldest, key=lambda name: (oldest[name], name))]))


def _owner_lines(owner: Mapping[str, JsonValue]) -> list[_Line]:
    return [
        _Line(_heading(key), f"- {item}")
        for key in sorted(owner)
        for item in _items(owner[key])
        if item
    ]


def _items(value: JsonValue) -> list[str]:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return [f"{one_line(key)}: {_plain(value[key])}" for key in sorted(value)]
    return [_plain(value)]


def _plain(value: JsonValue) -> str:
    return one_line(value) if isinstance(value, str) else dumps(value).decode()


def _bullet_line(place: Place) -> _Line:
    return _Line(place.section, f"- [{place.bullet.id}] {place.bullet.text}", place.bullet.id)


def _heading(key: str) -> str:
    return one_line(key).lstrip("# ") or "context"


def _age(bullet_id: str) -> tuple[int, str]:
    found = _NUMBER.search(bullet_id)
    return (int(found.group()) if found else 0, bullet_id)


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.casefold()))
