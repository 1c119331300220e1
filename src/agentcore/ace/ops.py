"""Delta operations and their exact inverses.

A batch is applied whole or not at all. Each applied operation yields what takes it back, so the
stored deltas are a log: replayed in order they give any version's content, undone in reverse they
give any earlier one. ADD, UPDATE, TAG, REMOVE, MERGE and MOVE are for authors. SET, UNSET and
EXTEND change the owner's keys. PUT and RESERVE are written by inverses only.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from agentcore.ace.content import (
    MOST_COUNTED,
    MOST_EVIDENCE,
    RESERVED,
    Bullet,
    BulletId,
    BulletStatus,
    BulletText,
    Count,
    Draft,
    Evidence,
    Refused,
    SectionName,
    normalised,
)
from agentcore.ace.errors import InvalidOperation
from agentcore.kit.jsonvalue import JsonObject

MOST_OPERATIONS = 500
COUNTS = ("helpful", "harmful", "neutral", "support")
Path = Annotated[tuple[str, ...], Field(min_length=1, max_length=16)]


class _Operation(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def as_json(self) -> JsonObject:
        dumped: JsonObject = self.model_dump(mode="json", exclude_defaults=True)
        return {"op": type(self).__name__.upper(), **dumped}


class Add(_Operation):
    """A new bullet at the end of ``section``; its id is the next free one."""

    op: Literal["ADD"] = "ADD"
    section: SectionName
    text: BulletText
    pinned: bool = False
    evidence: Evidence = ()

    def perform(self, draft: Draft, version: int) -> list[Operation]:
        before = draft.next_id
        bullet = Bullet(
            id=draft.fresh_id(),
            text=self.text,
            pinned=self.pinned,
            evidence=self.evidence,
            created_v=version,
            updated_v=version,
        )
        draft.append(self.section, bullet)
        return [Remove(id=bullet.id), Reserve(next_id=before)]


class _Change(_Operation):
    """Changes one bullet where it stands."""

    id: BulletId
    evidence: Evidence = ()

    def perform(self, draft: Draft, version: int) -> list[Operation]:
        place = draft.place(self.id)
        old = place.bullet
        evidence = _joined(old.evidence, self.evidence)
        changed = {**self._changes(old, version), "evidence": evidence}
        draft.replace(place, old.model_copy(update=changed))
        return [Put.back(place.section, place.position, old)]

    @abstractmethod
    def _changes(self, old: Bullet, version: int) -> Mapping[str, object]: ...


class Update(_Change):
    op: Literal["UPDATE"] = "UPDATE"
    text: BulletText | None = None
    status: BulletStatus | None = None
    pinned: bool | None = None

    def _changes(self, old: Bullet, version: int) -> Mapping[str, object]:
        return {
            "text": old.text if self.text is None else self.text,
            "status": old.status if self.status is None else self.status,
            "pinned": old.pinned if self.pinned is None else self.pinned,
            "updated_v": version,
        }


class Tag(_Change):
    """Counts how the bullet fared; ``support`` counts that it was proposed again."""

    op: Literal["TAG"] = "TAG"
    helpful: Count = 0
    harmful: Count = 0
    neutral: Count = 0
    support: Count = 0

    def _changes(self, old: Bullet, version: int) -> Mapping[str, object]:
        return {name: _total(getattr(old, name), getattr(self, name)) for name in COUNTS}


class Remove(_Operation):
    op: Literal["REMOVE"] = "REMOVE"
    id: BulletId

    def perform(self, draft: Draft, version: int) -> list[Operation]:
        place = draft.remove(self.id)
        return [Put.back(place.section, place.position, place.bullet)]


class Merge(_Operation):
    """The bullets become the first of them, with their counts added up."""

    op: Literal["MERGE"] = "MERGE"
    ids: Annotated[tuple[BulletId, ...], Field(min_length=2, max_length=50)]
    text: BulletText | None = None
    evidence: Evidence = ()

    def perform(self, draft: Draft, version: int) -> list[Operation]:
        if len(set(self.ids)) != len(self.ids):
            raise Refused("an id is named twice")
        undo: list[Operation] = []
        absorbed: list[Bullet] = []
        for bullet_id in self.ids[1:]:
            place = draft.remove(bullet_id)
            absorbed.append(place.bullet)
            undo.insert(0, Put.back(place.section, place.position, place.bullet))
        kept = draft.place(self.ids[0])
        everyone = [kept.bullet, *absorbed]
        merged = kept.bullet.model_copy(
            update={
                "text": kept.bullet.text if self.text is None else self.text,
                **{name: _total(*(getattr(one, name) for one in everyone)) for name in COUNTS},
                "pinned": any(bullet.pinned for bullet in everyone),
                "evidence": _joined(*(bullet.evidence for bullet in everyone), self.evidence),
                "updated_v": version,
            }
        )
        draft.replace(kept, merged)
        return [Put.back(kept.section, kept.position, kept.bullet), *undo]


class Move(_Operation):
    op: Literal["MOVE"] = "MOVE"
    id: BulletId
    section: SectionName

    def perform(self, draft: Draft, version: int) -> list[Operation]:
        place = draft.remove(self.id)
        draft.append(self.section, place.bullet.model_copy(update={"updated_v": version}))
        return [Put.back(place.section, place.position, place.bullet)]


class Set(_Operation):
    """The value at ``path`` below the owner's keys, whatever was there."""

    op: Literal["SET"] = "SET"
    path: Path
    value: JsonValue

    def as_json(self) -> JsonObject:
        return {"op": self.op, "path": list(self.path), "value": self.value}

    def perform(self, draft: Draft, version: int) -> list[Operation]:
        parent, key = _owner(draft, self.path)
        undo: Operation = Unset(path=self.path)
        if key in parent:
            undo = Set(path=self.path, value=parent[key])
        # A later operation may write below this value, which must not change this operation.
        parent[key] = copy.deepcopy(self.value)
        return [undo]


class Unset(_Operation):
    op: Literal["UNSET"] = "UNSET"
    path: Path

    def perform(self, draft: Draft, version: int) -> list[Operation]:
        parent, key = _owner(draft, self.path)
        if key not in parent:
            raise Refused(f"there is no {'.'.join(self.path)!r}")
        return [Set(path=self.path, value=parent.pop(key))]


class Extend(_Operation):
    """More items at the end of the owner's list at ``path``."""

    op: Literal["EXTEND"] = "EXTEND"
    path: Path
    items: Annotated[tuple[JsonValue, ...], Field(min_length=1)]

    def as_json(self) -> JsonObject:
        return {"op": self.op, "path": list(self.path), "items": list(self.items)}

    def perform(self, draft: Draft, version: int) -> list[Operation]:
        parent, key = _owner(draft, self.path)
        found = parent.get(key)
        if not isinstance(found, list):
            raise Refused(f"{'.'.join(self.path)!r} is no list")
        parent[key] = [*found, *self.items]
        return [Set(path=self.path, value=found)]


class Put(_Operation):
    """Exactly this bullet at exactly this position, in place of the one of the same id."""

    op: Literal["PUT"] = "PUT"
    section: SectionName
    position: Annotated[int, Field(ge=0)]
    bullet: Bullet

    @classmethod
    def back(cls, section: str, position: int, bullet: Bullet) -> Put:
        return cls(section=section, position=position, bullet=bullet)

    def as_json(self) -> JsonObject:
        return {
            "op": self.op,
            "section": self.section,
            "position": self.position,
            "bullet": self.bullet.as_json(),
        }

    def perform(self, draft: Draft, version: int) -> list[Operation]:
        undo: Operation = Remove(id=self.bullet.id)
        if self.bullet.id in draft:
            place = draft.remove(self.bullet.id)
            undo = Put.back(place.section, place.position, place.bullet)
        draft.insert(self.section, self.position, self.bullet)
        return [undo]


class Reserve(_Operation):
    """The number of the next bullet."""

    op: Literal["RESERVE"] = "RESERVE"
    next_id: Annotated[int, Field(ge=1, lt=2**31)]

    def perform(self, draft: Draft, version: int) -> list[Operation]:
        before, draft.next_id = draft.next_id, self.next_id
        return [Reserve(next_id=before)]


Operation = Add | Update | Tag | Remove | Merge | Move | Set | Unset | Extend | Put | Reserve
AUTHORED = (Add, Update, Tag, Remove, Merge, Move)
_NAMES = ("ADD", "UPDATE", "TAG", "REMOVE", "MERGE", "MOVE", "SET", "UNSET", "EXTEND")
_ADAPTER: TypeAdapter[Operation] = TypeAdapter(Annotated[Operation, Field(discriminator="op")])


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    content: JsonObject
    operations: tuple[Operation, ...]
    inverse: tuple[Operation, ...]


def parse_operations(given: JsonValue, *, internal: bool = False) -> tuple[Operation, ...]:
    """Read a batch; ``internal`` admits what only the log itself may hold.

    Raises:
        InvalidOperation: naming the first operation that is wrong, and the value.
    """
    if not isinstance(given, list):
        raise InvalidOperation(0, "?", f"'ops' is no list but {_short(given)}")
    if len(given) > MOST_OPERATIONS and not internal:
        raise InvalidOperation(
            MOST_OPERATIONS, "?", f"the batch has {len(given)}, more than {MOST_OPERATIONS}"
        )
    return tuple(_parse(index, item, internal) for index, item in enumerate(given))


def apply(
    content: Mapping[str, JsonValue], operations: Sequence[Operation], *, version: int
) -> Applied:
    """``content`` after the batch, which becomes ``version``; ``content`` itself stays as it was.

    Raises:
        InvalidOperation: one cannot be carried out; then none is.
    """
    draft = Draft.of(content)
    inverse = perform(draft, operations, version=version)
    return Applied(content=draft.content(), operations=tuple(operations), inverse=inverse)


def perform(
    draft: Draft, operations: Sequence[Operation], *, version: int
) -> tuple[Operation, ...]:
    """Change ``draft``; returns what undoes it. After an error the draft is of no more use."""
    undo: list[Operation] = []
    for index, operation in enumerate(operations):
        try:
            undo[:0] = operation.perform(draft, version)
        except Refused as refusal:
            raise InvalidOperation(index, operation.op, str(refusal)) from refusal
    return tuple(undo)


def replay(
    start: Mapping[str, JsonValue], log: Iterable[tuple[int, Sequence[Operation]]]
) -> JsonObject:
    """The content that ``log`` (version and operations, oldest first) makes of ``start``."""
    draft = Draft.of(start)
    for version, operations in log:
        perform(draft, operations, version=version)
    return draft.content()


def touched(operations: Iterable[Operation]) -> frozenset[str]:
    """The names of what a batch changes. Two batches with nothing in common may swap order.

    Additions and counts change nothing that another author could have meant, so have none.
    """
    names: set[str] = set()
    for operation in operations:
        if isinstance(operation, Update | Remove | Move):
            names.add(operation.id)
        elif isinstance(operation, Merge):
            names.update(operation.ids)
        elif isinstance(operation, Put):
            names.add(operation.bullet.id)
        elif isinstance(operation, Set | Unset):
            names.add(f"owner:{operation.path[0]}")
    return frozenset(names)


def without_duplicates(
    content: Mapping[str, JsonValue], operations: Sequence[Operation]
) -> tuple[Operation, ...]:
    """Additions of what an active bullet says already become support for that bullet."""
    known = {
        normalised(place.bullet.text): place.bullet.id
        for place in Draft.of(content).bullets()
        if place.bullet.status == "active"
    }
    out: list[Operation] = []
    added: set[str] = set()
    for operation in operations:
        if isinstance(operation, Add):
            text = normalised(operation.text)
            if text in known:
                out.append(Tag(id=known[text], support=1, evidence=operation.evidence))
                continue
            if text in added:
                continue
            added.add(text)
        out.append(operation)
    return tuple(out)


def _parse(index: int, item: JsonValue, internal: bool) -> Operation:  # noqa: FBT001 - a filter, private
    name = item.get("op") if isinstance(item, dict) else None
    if not internal and name not in _NAMES:
        known = ", ".join(_NAMES)
        raise InvalidOperation(index, _short(name or item), f"'op' must be one of {known}")
    try:
        return _ADAPTER.validate_python(item)
    except ValidationError as exc:
        fault = exc.errors(include_url=False)[0]
        where = ".".join(str(step) for step in fault["loc"][1:]) or "it"
        reason = fault["msg"].removeprefix("Value error, ")
        raise InvalidOperation(
            index, str(name), f"{where}: {reason}, given {_short(fault['input'])}"
        ) from exc


def _total(*counts: int) -> int:
    """Bounded: a sum that cannot be read again would take the whole playbook with it."""
    return min(sum(counts), MOST_COUNTED)


def _joined(*parts: tuple[str, ...]) -> tuple[str, ...]:
    """Each once, in order, the newest kept."""
    if sum(map(bool, parts)) < 2:
        return next(filter(None, parts), ())
    merged = tuple(dict.fromkeys(item for part in parts for item in part))
    return merged[-MOST_EVIDENCE:]


def _owner(draft: Draft, path: tuple[str, ...]) -> tuple[dict[str, JsonValue], str]:
    """The owner's object that holds the last key of ``path``."""
    if path[0] == RESERVED:
        raise Refused(f"the key {RESERVED!r} is reserved for bullets")
    parent: JsonValue = draft.owner
    for step in path[:-1]:
        parent = parent.get(step) if isinstance(parent, dict) else None
    if not isinstance(parent, dict):
        raise Refused(f"there is no object at {'.'.join(path[:-1])!r}")
    return parent, path[-1]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
