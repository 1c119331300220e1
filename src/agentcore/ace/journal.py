"""The log of a playbook: every delta that was sent, applied or not, and what it did.

Entry one of a playbook is its ``seed``; each applied entry after it raised the version by one.
``counters`` entries fold what traces say about bullets, ``rollback`` entries lead back to an
earlier content, ``stage`` entries change nothing but who sees an experiment's other arm. Three
kinds stand beside the versions: ``call`` entries book the cost of a model call, which is what the
monthly budget adds up, ``snapshot`` entries hold a whole content, so that rebuilding a version
reads a few entries and not all, and ``experiment`` entries hold what is known of a challenger.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from agentcore.ace.errors import PlaybookTooLarge
from agentcore.ace.models import ContextDelta, ContextPlaybook
from agentcore.ace.ops import Operation, apply, parse_operations
from agentcore.kit.ids import stable_uuid
from agentcore.kit.jsonvalue import JsonObject, dumps

LARGEST_CONTENT = 1 << 20

# So many versions at most lie between a snapshot and the next, unless one evolution made more.
SNAPSHOT_EVERY = 50

Kind = Literal["seed", "delta", "counters", "rollback", "stage", "call", "snapshot", "experiment"]
BESIDE_THE_VERSIONS: tuple[Kind, ...] = ("call", "snapshot", "experiment")


class Provenance(BaseModel):
    """Where a delta came from; empty for one that an owner sent."""

    model_config = ConfigDict(frozen=True)

    model: str = ""
    prompt_hash: str = ""
    trace_ids: tuple[str, ...] = ()
    cost_usd: Decimal = Decimal(0)


OWNER = Provenance()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A row of ``context_deltas``: ``delta.changes`` is what was sent, the rest what it became."""

    delta: ContextDelta
    kind: Kind
    base_version: int
    result_version: int | None = None
    operations: tuple[Operation, ...] = ()
    inverse: tuple[Operation, ...] = ()
    provenance: Provenance = OWNER
    gate: JsonObject = field(default_factory=dict)

    def as_changes(self) -> JsonObject:
        """The column ``changes``."""
        provenance: JsonObject = self.provenance.model_dump(mode="json")
        return {
            "input": self.delta.changes,
            "ops": [operation.as_json() for operation in self.operations],
            "inverse": [operation.as_json() for operation in self.inverse],
            "base_version": self.base_version,
            "result_version": self.result_version,
            "kind": self.kind,
            "gate": self.gate,
            **provenance,
        }

    @classmethod
    def read(cls, delta: ContextDelta) -> Entry:
        """``delta`` as it stands in the table, with the whole column in ``changes``.

        A row that others wrote, in the specification's own form, is a delta of no known version.
        """
        if "kind" not in delta.changes:
            return cls(delta=delta, kind="delta", base_version=0)
        column = _Column.model_validate(delta.changes)
        return cls(
            delta=delta.model_copy(update={"changes": column.input}),
            kind=column.kind,
            base_version=column.base_version,
            result_version=column.result_version,
            operations=parse_operations(column.ops, internal=True),
            inverse=parse_operations(column.inverse, internal=True),
            provenance=Provenance.model_validate(delta.changes),
            gate=column.gate,
        )


class _Column(BaseModel):
    input: dict[str, JsonValue]
    ops: list[JsonValue]
    inverse: list[JsonValue]
    base_version: int
    result_version: int | None
    kind: Kind
    gate: dict[str, JsonValue]


def seed(playbook: ContextPlaybook, delta_id: str) -> Entry:
    delta = ContextDelta(
        delta_id=delta_id,
        playbook_id=playbook.playbook_id,
        changes=playbook.content,
        confidence=1.0,
        reasoning="initial context",
        generated_at=playbook.created_at,
        applied=True,
        applied_at=playbook.created_at,
    )
    return Entry(delta=delta, kind="seed", base_version=0, result_version=1)


def advance(
    playbook: ContextPlaybook,
    delta: ContextDelta,
    operations: Sequence[Operation],
    *,
    now: datetime,
    kind: Kind = "delta",
    provenance: Provenance = OWNER,
    gate: Mapping[str, JsonValue] | None = None,
) -> tuple[ContextPlaybook, Entry]:
    """The next version of ``playbook`` and the entry that leads there.

    Raises:
        InvalidOperation: an operation cannot be carried out.
        PlaybookTooLarge: the content would outgrow its bound.
    """
    version = playbook.version + 1
    applied = apply(playbook.content, operations, version=version)
    check_size(applied.content)
    after = playbook.model_copy(
        update={"content": applied.content, "version": version, "updated_at": now}
    )
    entry = Entry(
        delta=delta.model_copy(update={"applied": True, "applied_at": now}),
        kind=kind,
        base_version=playbook.version,
        result_version=version,
        operations=applied.operations,
        inverse=applied.inverse,
        provenance=provenance,
        gate={"reason": "accepted"} if gate is None else dict(gate),
    )
    return after, entry


def pending(
    playbook: ContextPlaybook,
    delta: ContextDelta,
    gate: Mapping[str, JsonValue],
    provenance: Provenance = OWNER,
    operations: Sequence[Operation] = (),
) -> Entry:
    """An entry that is kept and not applied; ``gate`` says why.

    ``operations`` are what it would do, where that has been settled.
    """
    return Entry(
        delta=delta.model_copy(update={"applied": False, "applied_at": None}),
        kind="delta",
        base_version=playbook.version,
        operations=tuple(operations),
        provenance=provenance,
        gate=dict(gate),
    )


def snapshot_due(before: ContextPlaybook, after: ContextPlaybook) -> Entry | None:
    """The snapshot of ``after`` where the step from ``before`` has completed a stretch."""
    stretch = after.version // SNAPSHOT_EVERY
    if stretch == before.version // SNAPSHOT_EVERY:
        return None
    delta = ContextDelta(
        delta_id=_snapshot_id(after.playbook_id, stretch),
        playbook_id=after.playbook_id,
        changes=after.content,
        confidence=1.0,
        reasoning=f"the content of version {after.version}",
        generated_at=after.updated_at,
    )
    return Entry(delta=delta, kind="snapshot", base_version=after.version)


def snapshots_for(playbook_id: str, version: int) -> list[str]:
    """The ids of the snapshots, the likeliest first, that may be the last one up to ``version``."""
    stretch = version // SNAPSHOT_EVERY
    return [_snapshot_id(playbook_id, number) for number in (stretch, stretch - 1) if number > 0]


def starts_at(entry: Entry) -> int:
    """The version whose whole content a seed or a snapshot holds."""
    return entry.result_version or entry.base_version


def undone(content: Mapping[str, JsonValue], newest_first: Iterable[Entry]) -> JsonObject:
    """``content`` before these entries."""
    operations = [operation for entry in newest_first for operation in entry.inverse]
    return apply(content, operations, version=0).content


def check_size(content: Mapping[str, JsonValue]) -> None:
    size = len(dumps(content))
    if size > LARGEST_CONTENT:
        raise PlaybookTooLarge(
            f"the playbook would have {size} bytes, more than {LARGEST_CONTENT}",
            hint="remove or merge bullets first",
        )


def _snapshot_id(playbook_id: str, stretch: int) -> str:
    """Known without looking: snapshots are found by their key."""
    return str(stable_uuid(f"snapshot {stretch} of {playbook_id}"))
