"""A playbook's content: the owner's keys as given, and itemised bullets under one reserved key.

``{"goals": [...], "playbook": {"schema": "ace/1", "next_id": 3, "sections": {"checks": [...]}}}``

The form is canonical: no empty section, and no reserved key until the first bullet. Equal
playbooks are therefore equal JSON, which is what replay and rollback are checked against.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from agentcore.ace.errors import InvalidContent
from agentcore.kit.jsonvalue import JsonObject, dumps, loads

RESERVED = "playbook"
LONGEST_TEXT = 2000
LONGEST_SECTION = 64
MOST_EVIDENCE = 20
# Bullets that are kept as read: some 10 MiB.
MOST_READ = 4096
MOST_PLAYBOOKS_READ, LARGEST_KEPT = 64, 65_536

# Control characters, lone surrogates, and those that reorder or hide text from a human reader.
UNREADABLE = re.compile(
    "[\\x00-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\u202a-\\u202e\\u2066-\\u2069\\U000e0000-\\U000e007f]"
)

BulletStatus = Literal["active", "retired"]


class Refused(ValueError):
    """An operation that the draft cannot carry out, in words for its author."""


def one_line(text: str) -> str:
    """White space collapsed: a bullet stays one line whatever its author wrote."""
    return " ".join(text.split())


def normalised(text: str) -> str:
    """The form in which two bullets count as the same."""
    return one_line(text).casefold().rstrip(".!;, ")


def _bullet_text(text: str) -> str:
    flat = one_line(text)
    if not flat:
        raise ValueError("the text is empty")
    if len(flat) > LONGEST_TEXT:
        raise ValueError(f"the text has {len(flat)} characters, more than {LONGEST_TEXT}")
    if UNREADABLE.search(flat):
        raise ValueError("the text holds characters that a reader cannot see")
    return flat


def _section_name(name: str) -> str:
    flat = one_line(name).lstrip("# ")
    if not flat:
        raise ValueError("the section's name is empty")
    if len(flat) > LONGEST_SECTION:
        raise ValueError(f"the section's name has more than {LONGEST_SECTION} characters")
    if UNREADABLE.search(flat):
        raise ValueError("the section's name holds characters that a reader cannot see")
    return flat


BulletText = Annotated[str, AfterValidator(_bullet_text)]
SectionName = Annotated[str, AfterValidator(_section_name)]
BulletId = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
Evidence = Annotated[tuple[str, ...], AfterValidator(lambda items: items[-MOST_EVIDENCE:])]
MOST_COUNTED = 2**31 - 1
Count = Annotated[int, Field(ge=0, le=MOST_COUNTED)]


class Bullet(BaseModel):
    """One lesson. ``support`` counts how often it was proposed, the tags how it fared in tasks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: BulletId
    text: BulletText
    helpful: Count = 0
    harmful: Count = 0
    neutral: Count = 0
    created_v: Count = 1
    updated_v: Count = 1
    status: BulletStatus = "active"
    pinned: bool = False
    evidence: Evidence = ()
    support: Count = 1

    def as_json(self) -> JsonObject:
        # By hand: this runs for each bullet of each version, and a dump takes four times as long.
        return {
            "id": self.id,
            "text": self.text,
            "helpful": self.helpful,
            "harmful": self.harmful,
            "neutral": self.neutral,
            "created_v": self.created_v,
            "updated_v": self.updated_v,
            "status": self.status,
            "pinned": self.pinned,
            "evidence": list(self.evidence),
            "support": self.support,
        }


_FIELDS = tuple(Bullet.model_fields)
_values_of = itemgetter(*_FIELDS)


@lru_cache(maxsize=MOST_READ)
def _read_once(*values: object) -> Bullet:
    return Bullet.model_validate(dict(zip(_FIELDS, values, strict=True)))


def _as_read_before(given: object, read: ValidatorFunctionWrapHandler) -> Bullet:
    """The same few bullets are read many times in each evolution, and never change."""
    if isinstance(given, dict) and len(given) == len(_FIELDS):
        # Where one of these stops it, reading in its place says where the fault is.
        with suppress(KeyError, TypeError, ValidationError):
            *values, evidence, support = _values_of(given)
            return _read_once(*values, tuple(evidence), support)
    bullet: Bullet = read(given)
    return bullet


class _Itemised(BaseModel):
    model_config = ConfigDict(extra="forbid")

    schema_: Literal["ace/1"] = Field(alias="schema")
    next_id: int = Field(ge=1, lt=2**31)
    sections: dict[SectionName, list[Annotated[Bullet, WrapValidator(_as_read_before)]]]


@dataclass(frozen=True, slots=True)
class Place:
    section: str
    position: int
    bullet: Bullet


@dataclass(slots=True)
class Draft:
    """A working copy of a content; operations change it, :meth:`content` gives the result."""

    owner: dict[str, JsonValue]
    sections: dict[str, list[Bullet]] = field(default_factory=dict)
    next_id: int = 1
    _section_of: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, content: Mapping[str, JsonValue]) -> Draft:
        """A copy of ``content``.

        Raises:
            InvalidContent: the reserved key does not hold a well-formed playbook.
        """
        owner = {key: copy.deepcopy(value) for key, value in content.items() if key != RESERVED}
        if RESERVED not in content:
            return cls(owner)
        draft = _itemised(content[RESERVED]).copy()
        draft.owner = owner
        return draft

    @classmethod
    def read(cls, given: JsonValue) -> Draft:
        """Of what stands under the reserved key alone."""
        try:
            itemised = _Itemised.model_validate(given)
        except ValidationError as exc:
            fault = exc.errors(include_url=False)[0]
            where = ".".join(str(step) for step in (RESERVED, *fault["loc"]))
            raise InvalidContent(
                f"the content's {where}: {fault['msg'].removesuffix(' or instance of _Itemised')}",
                hint=f"the key {RESERVED!r} is reserved for bullets of the schema ace/1",
            ) from exc
        draft = cls({}, next_id=itemised.next_id)
        for section, bullets in itemised.sections.items():
            for bullet in bullets:
                draft._append_known(section, bullet)
        return draft

    def copy(self) -> Draft:
        return Draft(
            copy.deepcopy(self.owner),
            {name: list(bullets) for name, bullets in self.sections.items()},
            self.next_id,
            dict(self._section_of),
        )

    def content(self) -> JsonObject:
        out: JsonObject = dict(self.owner)
        sections: JsonObject = {
            name: [bullet.as_json() for bullet in bullets]
            for name, bullets in self.sections.items()
            if bullets
        }
        if sections or self.next_id != 1:
            out[RESERVED] = {"schema": "ace/1", "next_id": self.next_id, "sections": sections}
        return out

    def bullets(self) -> Iterator[Place]:
        for section, bullets in self.sections.items():
            for position, bullet in enumerate(bullets):
                yield Place(section, position, bullet)

    def __contains__(self, bullet_id: str) -> bool:
        return bullet_id in self._section_of

    def place(self, bullet_id: str) -> Place:
        section = self._section_of.get(bullet_id)
        if section is None:
            raise Refused(f"there is no bullet {bullet_id!r}")
        for position, bullet in enumerate(self.sections[section]):
            if bullet.id == bullet_id:
                return Place(section, position, bullet)
        raise AssertionError(f"unreachable: {bullet_id!r} is known to stand in {section!r}")

    def replace(self, place: Place, bullet: Bullet) -> None:
        """Put ``bullet`` where ``place`` has the one of the same id."""
        self.sections[place.section][place.position] = bullet

    def insert(self, section: str, position: int, bullet: Bullet) -> None:
        if bullet.id in self._section_of:
            raise Refused(f"there is a bullet {bullet.id!r} already")
        self.sections.setdefault(section, []).insert(position, bullet)
        self._section_of[bullet.id] = section

    def append(self, section: str, bullet: Bullet) -> None:
        self.insert(section, len(self.sections.get(section, [])), bullet)

    def remove(self, bullet_id: str) -> Place:
        place = self.place(bullet_id)
        del self.sections[place.section][place.position]
        del self._section_of[bullet_id]
        if not self.sections[place.section]:
            del self.sections[place.section]
        return place

    def fresh_id(self) -> str:
        """The next unused bullet id; a number is never given twice, not even after a rollback."""
        while f"b{self.next_id}" in self._section_of:
            self.next_id += 1
        taken, self.next_id = self.next_id, self.next_id + 1
        return f"b{taken}"

    def _append_known(self, section: str, bullet: Bullet) -> None:
        if bullet.id in self._section_of:
            raise InvalidContent(
                f"the content's {RESERVED}.sections.{section}: bullet {bullet.id!r} appears twice",
                hint="ids are unique within a playbook",
            )
        self.append(section, bullet)


@lru_cache(maxsize=MOST_PLAYBOOKS_READ)
def _read_whole(raw: bytes) -> Draft:
    return Draft.read(loads(raw))


def _itemised(given: JsonValue) -> Draft:
    """To be copied: each step of an evolution reads what the step before has written."""
    with suppress(TypeError):
        raw = dumps(given)
        if len(raw) <= LARGEST_KEPT:
            return _read_whole(raw)
    return Draft.read(given)
