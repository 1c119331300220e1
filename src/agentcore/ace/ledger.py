"""How playbooks are written: each write is one transaction that leaves one entry in the log.

Writes are optimistic. A writer that finds the version gone repeats on what is there now, the
second time holding the row, so concurrent writers all get through and none is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain, repeat
from uuid import UUID

from pydantic import JsonValue

from agentcore.ace.changes import operations_of
from agentcore.ace.content import Draft
from agentcore.ace.difference import between
from agentcore.ace.errors import (
    DeltaForOtherPlaybook,
    DeltaIdReused,
    InvalidOperation,
    PlaybookExists,
    PlaybookNotFound,
    PlaybookVersionConflict,
    VersionNotFound,
)
from agentcore.ace.gate import Gate
from agentcore.ace.journal import (
    Entry,
    advance,
    check_size,
    pending,
    seed,
    starts_at,
    undone,
)
from agentcore.ace.models import ACEConfig, ContextDelta, ContextPlaybook, DeltaOutcome
from agentcore.ace.ops import Operation, replay, touched
from agentcore.ace.store import ContextStore, Unit
from agentcore.kit.clock import Clock
from agentcore.kit.ids import Ids, parsed_uuid, stable_uuid
from agentcore.kit.jsonvalue import JsonObject

EMPTY: JsonObject = {}


class _Overtaken(Exception):
    """Another writer was faster: roll back and look again."""


class PlaybookLedger:
    def __init__(
        self, config: ACEConfig, store: ContextStore, gate: Gate, *, clock: Clock, ids: Ids
    ) -> None:
        self._config = config
        self.gate = gate
        self._store = store
        self._clock = clock
        self._ids = ids

    async def create(
        self, agent_id: str, context: Mapping[str, JsonValue], metadata: JsonObject = EMPTY
    ) -> ContextPlaybook:
        """Version 1. An empty playbook that nobody has written to yet gives way.

        Raises:
            PlaybookExists: the agent has one that is in use.
        """
        content = Draft.of(context).content()
        check_size(content)
        now = self._clock.now()
        playbook = ContextPlaybook(
            playbook_id=str(self._ids.new()),
            agent_id=agent_id,
            version=1,
            content=content,
            created_at=now,
            updated_at=now,
            metadata=metadata,
        )
        entry = seed(playbook, str(self._ids.new()))

        async def work(unit: Unit) -> ContextPlaybook:
            await unit.status.begin(agent_id)
            if not await unit.playbooks.insert(playbook):
                await _remove_untouched(unit, agent_id)
                await unit.playbooks.insert(playbook)
            await unit.deltas.insert(entry)
            return playbook

        return await self._store.run(work)

    async def apply(
        self, agent_id: str, delta: ContextDelta, expected_version: int | None
    ) -> DeltaOutcome:
        """Apply ``delta``, or keep it as pending; the same delta again changes nothing more."""
        for lock in chain([False], repeat(True)):
            work = partial(
                self._apply,
                agent_id=agent_id,
                delta=delta,
                expected_version=expected_version,
                lock=lock,
            )
            with suppress(_Overtaken):
                return await self._store.run(work)
        raise AssertionError("unreachable: writers repeat until they are through")

    async def rollback(self, agent_id: str, version: int) -> DeltaOutcome:
        """A new version with the content of ``version``.

        Raises:
            VersionNotFound: it is not an earlier version.
        """

        async def work(unit: Unit) -> DeltaOutcome:
            playbook = await _locked(unit, agent_id)
            content = await _content_at(unit, playbook, version, newest=playbook.version - 1)
            now = self._clock.now()
            delta = ContextDelta(
                delta_id=str(self._ids.new()),
                playbook_id=playbook.playbook_id,
                changes={"to_version": version},
                confidence=1.0,
                reasoning=f"rolled back to version {version}",
                generated_at=now,
            )
            back = between(playbook.content, content)
            after, entry = advance(playbook, delta, back, now=now, kind="rollback")
            await unit.deltas.insert(entry)
            await unit.playbooks.advance(after, expected=playbook.version)
            await unit.deltas.keep_snapshot(playbook, after)
            return DeltaOutcome(playbook=after, applied=True, reason="accepted")

        return await self._store.run(work)

    async def content_at(self, agent_id: str, version: int) -> JsonObject:
        """What the playbook held at ``version``, rebuilt from the log.

        Raises:
            VersionNotFound: there is no such version, or not yet.
        """

        async def work(unit: Unit) -> JsonObject:
            playbook = await unit.playbooks.of(agent_id)
            if playbook is None:
                raise PlaybookNotFound(agent_id)
            return await _content_at(unit, playbook, version, newest=playbook.version)

        return await self._store.run(work)

    async def _apply(
        self,
        unit: Unit,
        *,
        agent_id: str,
        delta: ContextDelta,
        expected_version: int | None,
        lock: bool,
    ) -> DeltaOutcome:
        playbook = await unit.playbooks.of(agent_id, lock=lock)
        if playbook is None:
            raise PlaybookNotFound(agent_id)
        adopted = _adopted(delta, playbook)
        known = await unit.deltas.get(adopted.delta_id)
        if known is not None:
            # Read again: the first sending may have been committed since.
            return _repeated(known, adopted, await _locked(unit, agent_id), delta.delta_id)
        operations = operations_of(delta.changes, playbook.content)
        if expected_version is not None:
            await _check_expected(unit, playbook, operations, expected_version)
        try:
            after, entry = self._decided(playbook, adopted, operations)
        except InvalidOperation as error:
            if expected_version in {None, playbook.version}:
                raise
            # Counts and additions claim nothing for themselves, but what they are for may be gone.
            raise PlaybookVersionConflict(agent_id, expected_version, playbook.version) from error
        if not await unit.deltas.insert(entry):
            raise _Overtaken
        if entry.delta.applied and not await unit.playbooks.advance(
            after, expected=playbook.version
        ):
            raise _Overtaken
        await unit.deltas.keep_snapshot(playbook, after)
        return _outcome(after, entry)

    def _decided(
        self, playbook: ContextPlaybook, delta: ContextDelta, operations: Sequence[Operation]
    ) -> tuple[ContextPlaybook, Entry]:
        threshold = self._config.ace_confidence_threshold
        if not operations:
            detail = "the playbook holds all of it already"
            return playbook, pending(playbook, delta, {"reason": "no_op", "detail": detail})
        applied = advance(playbook, delta, operations, now=self._clock.now())
        if delta.confidence < threshold:
            detail = f"{delta.confidence:g} is below {threshold:g}, the ACE_CONFIDENCE_THRESHOLD"
            return playbook, pending(playbook, delta, {"reason": "confidence", "detail": detail})
        return applied


async def _content_at(
    unit: Unit, playbook: ContextPlaybook, version: int, *, newest: int
) -> JsonObject:
    if not 1 <= version <= newest:
        raise VersionNotFound(playbook.agent_id, version, newest)
    start = await unit.deltas.start_of(playbook.playbook_id, version)
    if start is None:
        return await _taken_back(unit, playbook, version, newest=newest)
    content, first = start.delta.changes, starts_at(start)
    async for log in unit.deltas.stretches(playbook.playbook_id, above=first, upto=version):
        content = replay(content, log)
    return content


async def _taken_back(
    unit: Unit, playbook: ContextPlaybook, version: int, *, newest: int
) -> JsonObject:
    """Of a playbook that came into the table without a log: what we did to it can be undone."""
    content, oldest = playbook.content, playbook.version
    async for entry in unit.deltas.walk(playbook.playbook_id, above=version):
        content, oldest = undone(content, [entry]), oldest - 1
    if oldest > version:
        raise VersionNotFound(playbook.agent_id, version, newest, oldest=oldest)
    return content


async def _locked(unit: Unit, agent_id: str) -> ContextPlaybook:
    playbook = await unit.playbooks.of(agent_id, lock=True)
    if playbook is None:
        raise PlaybookNotFound(agent_id)
    return playbook


async def _remove_untouched(unit: Unit, agent_id: str) -> None:
    """Make room for a first context: registration leaves an empty playbook behind."""
    found = await _locked(unit, agent_id)
    if found.version != 1 or found.content != EMPTY:
        raise PlaybookExists(agent_id)
    await unit.playbooks.delete(agent_id)


async def _check_expected(
    unit: Unit, playbook: ContextPlaybook, operations: Sequence[Operation], expected: int
) -> None:
    """Let a batch pass that was made for an older version, if nothing it touches has changed."""
    if expected == playbook.version:
        return
    conflict = PlaybookVersionConflict(playbook.agent_id, expected, playbook.version)
    if expected > playbook.version:
        raise conflict
    ours = touched(operations)
    async for entry in unit.deltas.walk(playbook.playbook_id, above=expected):
        if touched(entry.operations) & ours:
            raise conflict


def _adopted(delta: ContextDelta, playbook: ContextPlaybook) -> ContextDelta:
    """With ids as the tables keep them. A name that is no UUID is the caller's own, and means
    a delta of this playbook only.
    """
    named = parsed_uuid(delta.playbook_id)
    if named is not None and named != UUID(playbook.playbook_id):
        raise DeltaForOtherPlaybook(delta.playbook_id, playbook.playbook_id)
    delta_id = stable_uuid(delta.delta_id, within=playbook.playbook_id)
    return delta.model_copy(update={"delta_id": str(delta_id), "playbook_id": playbook.playbook_id})


def _repeated(
    known: Entry, delta: ContextDelta, playbook: ContextPlaybook, called: str
) -> DeltaOutcome:
    same = known.delta.playbook_id == delta.playbook_id and known.delta.changes == delta.changes
    if not same:
        raise DeltaIdReused(called)
    return _outcome(playbook, known)


def _outcome(playbook: ContextPlaybook, entry: Entry) -> DeltaOutcome:
    reason = entry.gate.get("reason")
    return DeltaOutcome(playbook=playbook, applied=entry.delta.applied, reason=str(reason))
