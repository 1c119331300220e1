"""How values of the context layer become rows of its tables, and rows values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from pydantic import JsonValue
from sqlalchemy import (
    CursorResult,
    RowMapping,
    ScalarSelect,
    Select,
    Text,
    Update,
    cast,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, Insert
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.sql.elements import ColumnElement

from agentcore.ace.journal import Entry
from agentcore.ace.models import ContextDelta, ContextPlaybook, EvolutionStatus, ExecutionTrace
from agentcore.ace.tables.store import context_deltas, context_playbooks, evolution_status

_playbooks, _deltas, _status = context_playbooks.c, context_deltas.c, evolution_status.c
# Of traces, or of a page of deltas, that are read at once.
MOST_BYTES = 8 * 1024 * 1024


def status_written(status: EvolutionStatus, **counted: ScalarSelect[int]) -> Insert:
    values = status.model_dump(exclude={"agent_id", "total_cost"}) | counted
    row = upsert(evolution_status).values(agent_id=status.agent_id, **values)
    return row.on_conflict_do_update(index_elements=[_status.agent_id], set_=values)


def noted(notes: Mapping[str, JsonValue]) -> ColumnElement[object]:
    metadata = func.coalesce(_playbooks.metadata, text("'{}'::jsonb"))
    return metadata.op("||")(cast(dict(notes), JSONB))


def annotated(playbook: ContextPlaybook, notes: Mapping[str, JsonValue]) -> Update:
    mine = _playbooks.playbook_id == UUID(playbook.playbook_id)
    return update(context_playbooks).where(mine).values(metadata=noted(notes))


def delta_row(entry: Entry) -> dict[str, object]:
    delta = entry.delta
    return {
        **delta.model_dump(exclude={"changes"}),
        "delta_id": UUID(delta.delta_id),
        "playbook_id": UUID(delta.playbook_id),
        "changes": entry.as_changes(),
    }


def rewritten(entry: Entry) -> Update:
    delta = entry.delta
    return (
        update(context_deltas)
        .where(_deltas.delta_id == UUID(delta.delta_id))
        .values(
            changes=entry.as_changes(),
            reasoning=delta.reasoning,
            applied=delta.applied,
            applied_at=delta.applied_at,
        )
    )


def playbook_of(row: RowMapping) -> ContextPlaybook:
    """Unchecked: the columns have types, and checking each value of a large content takes long."""
    known = {**row, "playbook_id": str(row["playbook_id"]), "metadata": row["metadata"] or {}}
    return ContextPlaybook.model_construct(**known)


def entry_of(row: RowMapping) -> Entry:
    ids = {"delta_id": str(row["delta_id"]), "playbook_id": str(row["playbook_id"])}
    return Entry.read(ContextDelta.model_validate({**row, **ids}))


def few(deltas: Select[Any], limit: int, most_bytes: int) -> Select[Any]:
    """The first of ``deltas``, but of large ones fewer; the first in any case."""
    at = func.row_number().over().label("at")
    taken = deltas.limit(limit).subquery()
    # Measured behind the limit: else all the rows would be.
    sized = select(taken, at, func.octet_length(cast(taken.c.changes, Text)).label("size"))
    rows = sized.subquery()
    before = func.sum(rows.c.size).over(order_by=rows.c.at) - rows.c.size
    counted = select(rows, before.label("before")).subquery()
    kept = select(*(counted.c[column.name] for column in context_deltas.c))
    return kept.where(counted.c.before < most_bytes).order_by(counted.c.at)


def traces_of(rows: CursorResult[tuple[object, ...]]) -> list[ExecutionTrace]:
    """Unchecked, as playbooks are: an evolution reads up to a thousand of them.

    By position: to read a row by its columns' names takes longer than to fetch it.
    """
    names = list(rows.keys())
    found = (dict(zip(names, row, strict=True)) for row in rows)
    return [
        ExecutionTrace.model_construct(
            **known | {"trace_id": str(known["trace_id"]), "metadata": known["metadata"] or {}}
        )
        for known in found
    ]
