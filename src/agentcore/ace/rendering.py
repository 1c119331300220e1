"""A playbook as the text that goes into an agent's context, within a budget of tokens.

What is shown is chosen for the task; the order of what is shown is fixed (sections by their oldest
bullet, bullets by age), so that two renders of one playbook share their prefix.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pydantic import JsonValue

from agentcore.ace.content import Bullet, Draft, Place, one_line
from agentcore.ace.experiment import THE_CHAMPION, Arm
from agentcore.ace.models import ContextPlaybook, PlaybookStamp, RenderedContext
from agentcore.ace.relevance import Index
from agentcore.ace.token_estimate import estimated_tokens
from agentcore.kit.jsonvalue import dumps

HEADING = "## PLAYBOOK"
# What a bullet that shares no word with the task counts, beside 1 for the one that fits best: rules
# that hold for every task name none.
GENERAL = 0.25
# So many observations weigh as much as what is known of the playbook's other bullets.
PRIOR_STRENGTH = 4
# A bullet with fewer observations is a newcomer, and this share of the room is theirs.
NEWCOMER_TRIALS = 5
EXPLORATION_SHARE = 0.2
# A prepared bullet takes some 4 KB.
MOST_PREPARED = 10_000
_NUMBER = re.compile(r"\d+")

Age = tuple[int, str]


@dataclass(frozen=True, slots=True)
class _Line:
    """``bullet`` is empty for an item of the owner."""

    section: str
    text: str
    cost: int
    bullet: str
    age: Age


@dataclass(frozen=True, slots=True)
class _Candidate:
    line: _Line
    helpfulness: float
    trials: int


def render(playbook: ContextPlaybook, *, task_text: str, token_budget: int) -> RenderedContext:
    """Sectioned markdown: the owner's keys, then pinned bullets, then the best for the task.

    What does not fit is left out, item by item; nothing is cut in half.
    """
    return Shelf(playbook).render(task_text, token_budget)


class Renderer:
    """Renders as :func:`render` does, and keeps what it prepared of recent versions."""

    def __init__(self, most: int = MOST_PREPARED) -> None:
        """``most``: bullets that are kept prepared, over all playbooks."""
        self._most = most
        self._kept = 0
        self._shelves: OrderedDict[tuple[str, int, str], Shelf] = OrderedDict()

    def render(
        self,
        playbook: ContextPlaybook,
        *,
        task_text: str,
        token_budget: int,
        arm: Arm = THE_CHAMPION,
    ) -> RenderedContext:
        key = (playbook.playbook_id, playbook.version, f"{arm.name} {arm.experiment}")
        shelf = self._shelves.pop(key, None)
        if shelf is None:
            shelf = Shelf(playbook, arm)
            self._kept += shelf.size
        self._shelves[key] = shelf
        while self._kept > self._most:
            self._kept -= self._shelves.popitem(last=False)[1].size
        return shelf.render(task_text, token_budget)


class Shelf:
    """One version of a playbook in one of its arms, made ready for any task."""

    def __init__(self, playbook: ContextPlaybook, arm: Arm = THE_CHAMPION) -> None:
        draft = Draft.of(arm.content(playbook))
        places = [place for place in draft.bullets() if place.bullet.status == "active"]
        self._playbook = (playbook.playbook_id, playbook.version)
        self._arm = arm
        self._order = _section_order(draft.owner, places)
        self._fixed = [
            *_owner_lines(draft.owner),
            *sorted((_bullet_line(one) for one in places if one.bullet.pinned), key=_by_age),
        ]
        free = [place for place in places if not place.bullet.pinned]
        average = helpfulness_of(place.bullet for place in places)
        self._free = [
            _Candidate(
                line=_bullet_line(place),
                helpfulness=helpfulness(place.bullet, average),
                trials=place.bullet.helpful + place.bullet.harmful,
            )
            for place in free
        ]
        self._index = Index([f"{place.section} {place.bullet.text}" for place in free])

    @property
    def size(self) -> int:
        """An empty playbook takes something, too."""
        return 1 + len(self._fixed) + len(self._free)

    def render(self, task_text: str, token_budget: int) -> RenderedContext:
        room = _Room(token_budget)
        room.take_all(self._fixed)
        ranked = self.ranked(task_text)
        room.explore([one for one in ranked if one.trials < NEWCOMER_TRIALS])
        room.take_all(one.line for one in ranked)
        text = _page(list(room.taken), self._order)
        shown = sorted((line for line in room.taken if line.bullet), key=_by_age)
        playbook_id, version = self._playbook
        stamp = PlaybookStamp(
            playbook_id=playbook_id,
            version=version,
            bullets=tuple(line.bullet for line in shown),
            hash=hashlib.sha256(text.encode()).hexdigest()[:16],
            arm=self._arm.name,
            experiment=self._arm.experiment,
            stage=self._arm.stage,
        )
        return RenderedContext(text=text, tokens=room.spent if text else 0, stamp=stamp)

    def ranked(self, task_text: str) -> list[_Candidate]:
        """All but the pinned: by fit to the task times the expected rate of being helpful."""
        fits = self._index.scores(task_text)
        best = max(fits.values(), default=1.0)

        def rank(position: int) -> tuple[float, Age]:
            one = self._free[position]
            fit = GENERAL + fits.get(position, 0.0) / best
            return (-fit * one.helpfulness, one.line.age)

        return [self._free[position] for position in sorted(range(len(self._free)), key=rank)]


class _Room:
    """What has been taken, and how many tokens are left."""

    def __init__(self, tokens: int) -> None:
        self.spent = _cost(HEADING)
        self._left = tokens - self.spent
        self._opened: set[str] = set()
        self.taken: dict[_Line, None] = {}

    def take_all(self, lines: Iterable[_Line]) -> None:
        for line in lines:
            self._take(line, most=self._left)

    def explore(self, newcomers: Sequence[_Candidate]) -> None:
        """Give newcomers their share, those shown least first; none takes half the room alone."""
        least, most = self._left * (1 - EXPLORATION_SHARE), self._left // 2
        for one in sorted(newcomers, key=lambda one: one.trials):
            if self._left <= least:
                return
            self._take(one.line, most=min(self._left, most))

    def _take(self, line: _Line, *, most: int) -> None:
        cost = line.cost
        if line.section not in self._opened:
            cost += _opening_cost(line.section)
        if cost <= most and line not in self.taken:
            self._left -= cost
            self.spent += cost
            self._opened.add(line.section)
            self.taken[line] = None


def helpfulness_of(bullets: Iterable[Bullet]) -> float:
    """The rate of success over all the bullets; a half where nothing was observed."""
    helpful = harmful = 0
    for bullet in bullets:
        helpful += bullet.helpful
        harmful += bullet.harmful
    return (helpful + 1) / (helpful + harmful + 2)


def helpfulness(bullet: Bullet, average: float) -> float:
    """Mean of the posterior; a bullet of which nothing is known is as good as the average."""
    observed = bullet.helpful + bullet.harmful
    return (bullet.helpful + PRIOR_STRENGTH * average) / (observed + PRIOR_STRENGTH)


def _page(lines: list[_Line], order: list[str]) -> str:
    if not lines:
        return ""
    out = [HEADING]
    inside: defaultdict[str, list[str]] = defaultdict(list)
    # Owner's items come first, in their own order; bullets by age.
    for line in sorted(lines, key=lambda line: (line.bullet != "", line.age)):
        inside[line.section].append(line.text)
    for section in order:
        if section in inside:
            out += [f"### {section}", *inside[section]]
    return "\n".join(out) + "\n"


def _section_order(owner: Mapping[str, JsonValue], places: list[Place]) -> list[str]:
    oldest: dict[str, Age] = {}
    for place in places:
        age = _age(place.bullet.id)
        oldest[place.section] = min(age, oldest.get(place.section, age))
    keys = sorted(_heading(key) for key in owner)
    return list(dict.fromkeys([*keys, *sorted(oldest, key=lambda name: (oldest[name], name))]))


def _owner_lines(owner: Mapping[str, JsonValue]) -> list[_Line]:
    return [
        _line(_heading(key), f"- {item}")
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
    return _line(place.section, f"- [{place.bullet.id}] {place.bullet.text}", place.bullet.id)


def _line(section: str, text: str, bullet: str = "") -> _Line:
    return _Line(section, text, _cost(text), bullet, _age(bullet))


def _cost(line: str) -> int:
    return estimated_tokens(f"{line}\n")


@lru_cache(maxsize=4096)
def _opening_cost(section: str) -> int:
    return _cost(f"### {section}")


def _heading(key: str) -> str:
    return one_line(key).lstrip("# ") or "context"


def _by_age(line: _Line) -> Age:
    return line.age


def _age(bullet_id: str) -> Age:
    found = _NUMBER.search(bullet_id)
    return (int(found.group()) if found else 0, bullet_id)
