"""Decides which proposed deltas may change a playbook. Everything a model wrote is untrusted.

The chain, in order: form, secrets and orders in the text, evidence, duplicates, effect, collapse,
confidence. The first objection decides, and is stored with the delta.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from agentcore.ace.content import Bullet, Draft, normalised
from agentcore.ace.errors import PlaybookTooLarge
from agentcore.ace.journal import check_size
from agentcore.ace.models import (
    ContextDelta,
    ContextPlaybook,
    CurationDecision,
    CurationReason,
)
from agentcore.ace.ops import (
    AUTHORED,
    Add,
    Merge,
    Move,
    Operation,
    Tag,
    Update,
    apply,
    parse_operations,
    without_duplicates,
)
from agentcore.ace.screening import order_in, secret_in
from agentcore.kit.errors import InvalidInput
from agentcore.kit.jsonvalue import JsonObject

# Share of the bullets that one evolution may take away; one bullet always may go.
MOST_REMOVED = 0.2

__all__ = ["CurationDecision", "SimpleCurator"]


@dataclass(frozen=True, slots=True)
class _Objection:
    reason: CurationReason
    detail: str


class SimpleCurator:
    def __init__(self, playbook_of: Callable[[ContextDelta], Awaitable[ContextPlaybook]]) -> None:
        """``playbook_of`` finds the playbook that a delta is meant for."""
        self._playbook_of = playbook_of

    async def curate_delta(self, delta: ContextDelta, threshold: float = 0.7) -> CurationDecision:
        return self.judge(delta, await self._playbook_of(delta), threshold=threshold)

    async def validate_delta(self, delta: ContextDelta, playbook: ContextPlaybook) -> bool:
        """Whether the delta is well-formed and can be applied to ``playbook``."""
        return not isinstance(_read(delta, playbook), _Objection)

    async def deduplicate_deltas(self, deltas: list[ContextDelta]) -> list[ContextDelta]:
        """Of deltas that ask for the same, the most confident, in their first order."""
        best: dict[str, ContextDelta] = {}
        for delta in deltas:
            key = _fingerprint(delta)
            if key not in best or best[key].confidence < delta.confidence:
                best[key] = delta
        return list(best.values())

    def judge(
        self,
        delta: ContextDelta,
        playbook: ContextPlaybook,
        *,
        threshold: float,
        base: ContextPlaybook | None = None,
    ) -> CurationDecision:
        """Judge ``delta`` for ``playbook``; ``base`` is what the round of deltas started from.

        Several small deltas must not take away together what one may not.
        """
        read = _read(delta, playbook)
        if isinstance(read, _Objection):
            return _refusal(delta, read, threshold)
        operations = _effective(without_duplicates(playbook.content, read), playbook)
        started = playbook if base is None else base
        objection = (
            _unsafe(read)
            or _ungrounded(delta, read)
            or _idle(operations)
            or _collapse(operations, playbook, started)
            or _unsure(delta, threshold)
        )
        if objection is not None:
            return _refusal(delta, objection, threshold)
        rewritten: JsonObject = {"ops": [operation.as_json() for operation in operations]}
        known = all(isinstance(operation, Tag) for operation in operations)
        return CurationDecision(
            accepted=True,
            reason="duplicate" if known else "accepted",
            detail="known already: support added" if known else "",
            delta=delta.model_copy(update={"changes": rewritten}),
            threshold=threshold,
        )


def _refusal(delta: ContextDelta, objection: _Objection, threshold: float) -> CurationDecision:
    return CurationDecision(
        accepted=False,
        reason=objection.reason,
        detail=objection.detail,
        delta=delta,
        threshold=threshold,
    )


def _read(delta: ContextDelta, playbook: ContextPlaybook) -> tuple[Operation, ...] | _Objection:
    try:
        operations = parse_operations(delta.changes.get("ops"))
        foreign = next((one for one in operations if not isinstance(one, AUTHORED)), None)
        if foreign is not None:
            return _Objection("schema", f"{foreign.op} is for the owner of the playbook only")
        check_size(apply(playbook.content, operations, version=playbook.version + 1).content)
    except (InvalidInput, PlaybookTooLarge) as error:
        return _Objection("schema", error.detail)
    return operations


def _texts(operations: Sequence[Operation]) -> list[str]:
    texts = [one.text for one in operations if isinstance(one, Add | Update | Merge) and one.text]
    return texts + [one.section for one in operations if isinstance(one, Add | Move)]


def _unsafe(operations: Sequence[Operation]) -> _Objection | None:
    for text in _texts(operations):
        if kind := secret_in(text):
            return _Objection("secret", f"the text holds what looks like a {kind}")
        if order := order_in(text):
            return _Objection("injection", f"the text addresses its reader: {order!r}")
    return None


def _ungrounded(delta: ContextDelta, operations: Sequence[Operation]) -> _Objection | None:
    rules = [one for one in operations if isinstance(one, Add | Update | Merge) and one.text]
    if not rules or delta.changes.get("evidence_required") is not True:
        return None
    if any(one.evidence for one in rules):
        return None
    return _Objection("ungrounded", "no quote of its evidence stands in the traces")


def _effective(operations: Sequence[Operation], playbook: ContextPlaybook) -> tuple[Operation, ...]:
    """Without the operations that would only raise the version."""
    draft = Draft.of(playbook.content)
    return tuple(operation for operation in operations if not _changes_nothing(operation, draft))


def _changes_nothing(operation: Operation, draft: Draft) -> bool:
    if isinstance(operation, Update):
        bullet = draft.place(operation.id).bullet
        same_text = operation.text in {None, bullet.text}
        return same_text and operation.status in {None, bullet.status}
    return isinstance(operation, Move) and draft.place(operation.id).section == operation.section


def _idle(operations: Sequence[Operation]) -> _Objection | None:
    return None if operations else _Objection("no_op", "the playbook would stay as it is")


def _collapse(
    operations: Sequence[Operation], playbook: ContextPlaybook, base: ContextPlaybook
) -> _Objection | None:
    before = _active(base)
    after = _active(
        playbook.model_copy(
            update={
                "content": apply(playbook.content, operations, version=playbook.version + 1).content
            }
        )
    )
    for bullet_id, bullet in before.items():
        if bullet.pinned and (bullet_id not in after or after[bullet_id].text != bullet.text):
            return _Objection("pinned", f"bullet {bullet_id!r} is pinned by its owner")
    lost = len(before.keys() - after.keys())
    allowed = max(1, int(MOST_REMOVED * len(before)))
    if lost > allowed:
        return _Objection(
            "collapse", f"{lost} of {len(before)} bullets would go, {allowed} may at once"
        )
    return None


def _active(playbook: ContextPlaybook) -> dict[str, Bullet]:
    return {
        place.bullet.id: place.bullet
        for place in Draft.of(playbook.content).bullets()
        if place.bullet.status == "active"
    }


def _unsure(delta: ContextDelta, threshold: float) -> _Objection | None:
    if delta.confidence >= threshold:
        return None
    return _Objection("confidence", f"{delta.confidence:g} is below {threshold:g}")


def _fingerprint(delta: ContextDelta) -> str:
    """What a delta asks for, whatever its wording in white space, its evidence and its reasons."""
    try:
        operations = parse_operations(delta.changes.get("ops"))
    except InvalidInput:
        return repr(sorted(delta.changes.items(), key=lambda item: item[0]))
    return repr([_meaning(operation) for operation in operations])


def _meaning(operation: Operation) -> tuple[object, ...]:
    if isinstance(operation, Add):
        return ("ADD", normalised(operation.text))
    if isinstance(operation, Update | Merge):
        bare = operation.model_copy(update={"evidence": (), "text": None})
        return (repr(bare), normalised(operation.text or ""))
    return (repr(operation),)
