"""Checkpoints: versions of policies, prompts and playbooks, and the point to go on from.

A version is never changed: a rollback saves the old content as a new version. What is stored is
one document, hashed as it was written; one that reads differently later is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from random import Random
from typing import cast

import orjson
from pydantic import ValidationError

from agentcore.kit.clock import Clock
from agentcore.kit.errors import InvalidInput
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject, JsonValue, dumps, loads
from agentcore.training.errors import CheckpointCorrupt, CheckpointNotFound
from agentcore.training.models import (
    Checkpoint,
    CheckpointDraft,
    CheckpointEntry,
    CheckpointKind,
    CheckpointPage,
    MetricChange,
    Retention,
)
from agentcore.training.store import CheckpointStore, StoredCheckpoint

LARGEST = 16 * 1024 * 1024


class Checkpoints:
    """The checkpoints of all tenants; a caller sees those of its own."""

    def __init__(self, store: CheckpointStore, *, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids

    async def save(self, tenant: str, draft: CheckpointDraft, *, by: str = "") -> Checkpoint:
        """Save the next version, whole or not at all.

        Its parent is the version before, unless the draft names another.

        Raises:
            CheckpointConflict: ``expected_version`` is not the newest version any more.
            InvalidInput: it is too large.
        """
        unique, at = self._ids.new(), self._clock.now()

        def stored(version: int) -> StoredCheckpoint:
            parent = draft.parent or (version - 1 or None)
            document = _document(draft, version, parent)
            return StoredCheckpoint(
                id=unique,
                tenant=tenant,
                kind=draft.kind,
                name=draft.name,
                version=version,
                parent=parent,
                document=document,
                sha256=hashlib.sha256(document).hexdigest(),
                metrics=draft.metrics,
                created_at=at,
                created_by=by,
            )

        saved = await self._store.add(
            tenant, draft.kind, draft.name, stored, expected=draft.expected_version
        )
        return _checkpoint(saved)

    async def load(
        self, tenant: str, kind: CheckpointKind, name: str, version: int | None = None
    ) -> Checkpoint:
        """A version, or the newest.

        Raises:
            CheckpointNotFound: there is none.
            CheckpointCorrupt: it is not what was saved.
        """
        found = await self._store.find(tenant, kind, name, version)
        if found is None:
            which = "checkpoint" if version is None else f"version {version}"
            raise CheckpointNotFound(f"there is no {which} of the {kind} {name!r}")
        return _checkpoint(found)

    async def names(self, tenant: str, *, limit: int = 50, cursor: str = "") -> CheckpointPage:
        """The newest version of each kind and name."""
        return await self._store.newest(tenant, limit=limit, cursor=cursor)

    async def versions(
        self,
        tenant: str,
        kind: CheckpointKind,
        name: str,
        *,
        limit: int = 50,
        before: int | None = None,
    ) -> CheckpointPage:
        """The newest first, from below ``before``."""
        found = await self._store.versions(tenant, kind, name, limit=limit + 1, before=before)
        more = str(found[limit - 1].version) if len(found) > limit else None
        return CheckpointPage(checkpoints=tuple(found[:limit]), next_cursor=more)

    async def diff(
        self, tenant: str, kind: CheckpointKind, name: str, *, before: int, after: int
    ) -> dict[str, MetricChange]:
        """What became of each metric from one version to the other."""
        one = await self.load(tenant, kind, name, before)
        other = await self.load(tenant, kind, name, after)
        return metric_changes(one.metrics, other.metrics)

    async def rollback(
        self, tenant: str, kind: CheckpointKind, name: str, version: int, *, by: str = ""
    ) -> Checkpoint:
        """Make an old version the newest again, as a version of its own."""
        old = await self.load(tenant, kind, name, version)
        draft = CheckpointDraft(
            kind=kind,
            name=name,
            content=old.content,
            resume=old.resume,
            metrics=old.metrics,
            parent=version,
        )
        return await self.save(tenant, draft, by=by)

    async def retain(
        self, tenant: str, kind: CheckpointKind, name: str, rule: Retention
    ) -> list[int]:
        """Delete what ``rule`` does not keep; returns the deleted versions."""
        entries: list[CheckpointEntry] = await self._store.versions(tenant, kind, name)
        dropped = outdated(entries, rule)
        if dropped:
            await self._store.delete(tenant, kind, name, dropped)
        return dropped


def metric_changes(
    before: Mapping[str, float], after: Mapping[str, float]
) -> dict[str, MetricChange]:
    changes = {}
    for name in sorted(before.keys() | after.keys()):
        one, other = before.get(name), after.get(name)
        change = None if one is None or other is None else other - one
        changes[name] = MetricChange(before=one, after=other, change=change)
    return changes


def outdated(entries: list[CheckpointEntry], rule: Retention) -> list[int]:
    """The versions that ``rule`` does not keep; the newest is always kept."""
    newest_first = sorted(entries, key=lambda entry: -entry.version)
    kept = {entry.version for entry in newest_first[: rule.keep_last]}
    if rule.best_by is not None:
        metric, sign = rule.best_by, 1 if rule.lower_is_better else -1
        known = [entry for entry in newest_first if metric in entry.metrics]
        # Of equals the newer one.
        known.sort(key=lambda entry: sign * entry.metrics[metric])
        kept |= {entry.version for entry in known[: rule.keep_best]}
    return sorted(entry.version for entry in entries if entry.version not in kept)


def random_state(random: Random) -> JsonValue:
    """The state of a generator as JSON; ``restored`` makes one that goes on from there."""
    version, internal, following = random.getstate()
    return [version, list(internal), following]


def restored(state: JsonValue) -> Random:
    """A generator that draws what the saved one would have drawn.

    Raises:
        InvalidInput: it is no state of a generator.
    """
    random = Random()
    try:
        version, internal, following = cast("list[list[int]]", state)
        random.setstate((version, tuple(internal), following))
    except (TypeError, ValueError, OverflowError) as exc:
        raise InvalidInput(f"not a generator's state: {exc}") from exc
    return random


def _document(draft: CheckpointDraft, version: int, parent: int | None) -> bytes:
    """The bytes that are stored and hashed: not JSONB, which would reorder and round."""
    values = {
        "kind": draft.kind,
        "name": draft.name,
        "version": version,
        "parent": parent,
        "content": draft.content,
        "resume": None if draft.resume is None else draft.resume.model_dump(),
        "metrics": draft.metrics,
    }
    try:
        document = dumps(values)
    except TypeError as exc:
        raise InvalidInput(f"the checkpoint has no JSON form: {exc}") from exc
    # NaN is written as null: what comes back must be what was given.
    if loads(document) != values:
        raise InvalidInput("the checkpoint holds values that JSON has not, such as NaN")
    if len(document) > LARGEST:
        raise InvalidInput(f"the checkpoint has {len(document)} bytes, the most is {LARGEST}")
    return document


def _checkpoint(stored: StoredCheckpoint) -> Checkpoint:
    """The value of a row; every way in which the row may differ from its document is a fault."""
    what = f"version {stored.version} of the {stored.kind} {stored.name!r}"
    if hashlib.sha256(stored.document).hexdigest() != stored.sha256:
        raise CheckpointCorrupt(
            f"{what} is not what was saved: its hash differs", hint="load another version"
        )
    try:
        document: JsonObject = orjson.loads(stored.document)
        checkpoint = Checkpoint.model_validate(
            {
                **document,
                "id": stored.id,
                "sha256": stored.sha256,
                "created_at": stored.created_at,
                "created_by": stored.created_by,
            }
        )
    except (ValueError, ValidationError) as exc:
        raise CheckpointCorrupt(f"{what} cannot be read: {exc}") from exc
    same = (checkpoint.kind, checkpoint.name, checkpoint.version, checkpoint.parent)
    if same != (stored.kind, stored.name, stored.version, stored.parent):
        raise CheckpointCorrupt(f"{what} holds the document of another checkpoint")
    if checkpoint.metrics != stored.metrics:
        raise CheckpointCorrupt(f"{what}: the metrics that are listed are not its own")
    return checkpoint
