"""What lies between two contents: told item by item, and as operations that lead from one there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from pydantic import JsonValue

from agentcore.ace.content import Draft, Place
from agentcore.ace.ops import Operation, Put, Remove, Reserve, Set, Unset, perform

T = TypeVar("T")
ChangeKind = Literal["added", "removed", "changed", "moved"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(Generic[T]):
    """``name`` is a bullet's id or an owner's key; an item that came or went has one side only."""

    name: str
    kind: ChangeKind
    before: T | None = None
    after: T | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    bullets: tuple[Change[Place], ...]
    owner: tuple[Change[JsonValue], ...]


def difference(before: Mapping[str, JsonValue], after: Mapping[str, JsonValue]) -> Difference:
    """What an onlooker would say has changed: bullets that only shift have not."""
    one, other = Draft.of(before), Draft.of(after)
    return Difference(
        bullets=tuple(_bullet_changes(_places(one), _places(other))),
        owner=tuple(_owner_changes(one.owner, other.owner)),
    )


def between(
    before: Mapping[str, JsonValue], after: Mapping[str, JsonValue]
) -> tuple[Operation, ...]:
    """The operations that make ``after`` of ``before``, exactly, but for numbers given already.

    They name what differs and nothing else, so their size is that of the playbook at most.
    """
    draft, goal = Draft.of(before), Draft.of(after)
    operations: list[Operation] = []

    def do(operation: Operation) -> None:
        perform(draft, [operation], version=0)
        operations.append(operation)

    for change in _owner_changes(draft.owner, goal.owner):
        if change.kind == "removed":
            do(Unset(path=(change.name,)))
        else:
            do(Set(path=(change.name,), value=change.after))
    for bullet_id in [name for name in _places(draft) if name not in goal]:
        do(Remove(id=bullet_id))
    # Front to back: what stands before a position is final when its turn comes.
    for wanted in goal.bullets():
        known = wanted.bullet.id in draft
        if not known or draft.place(wanted.bullet.id) != wanted:
            do(Put.back(wanted.section, wanted.position, wanted.bullet))
    if goal.next_id > draft.next_id:
        do(Reserve(next_id=goal.next_id))
    return tuple(operations)


def identical(one: JsonValue, other: JsonValue) -> bool:
    """Equal as JSON: to Python, true is 1 and 1 is 1.0."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(identical(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(identical, one, other))
    return type(one) is type(other) and one == other


def _places(draft: Draft) -> dict[str, Place]:
    return {place.bullet.id: place for place in draft.bullets()}


def _bullet_changes(
    before: Mapping[str, Place], after: Mapping[str, Place]
) -> Iterator[Change[Place]]:
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name), after.get(name)
        if old is None:
            yield Change(name=name, kind="added", after=new)
        elif new is None:
            yield Change(name=name, kind="removed", before=old)
        elif _without_dates(old) != _without_dates(new):
            yield Change(name=name, kind="changed", before=old, after=new)
        elif old.section != new.section:
            yield Change(name=name, kind="moved", before=old, after=new)


def _without_dates(place: Place) -> object:
    return place.bullet.model_copy(update={"updated_v": 0})


def _owner_changes(
    before: Mapping[str, JsonValue], after: Mapping[str, JsonValue]
) -> Iterator[Change[JsonValue]]:
    for key in dict.fromkeys([*before, *after]):
        if key not in before:
            yield Change(name=key, kind="added", after=after[key])
        elif key not in after:
            yield Change(name=key, kind="removed", before=before[key])
        elif not identical(before[key], after[key]):
            yield Change(name=key, kind="changed", before=before[key], after=after[key])
