"""Decides which proposed deltas may change a playbook. Everything a model wrote is untrusted.

The chain, in order: form, secrets and orders in the text, evidence, effect, duplicates, pins,
collapse, calibrated confidence. The first objection decides, and is stored with the delta.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from agentcore.ace.calibration import HONEST, Calibration
from agentcore.ace.content import Bullet, Draft, normalised
from agentcore.ace.errors import PlaybookTooLarge
from agentcore.ace.journal import check_size
from agentcore.ace.likeness import Likeness, gutted
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
    parse_operations,
    perform,
    touched,
)
from agentcore.ace.orders import order_in
from agentcore.ace.screening import secret_in
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
        read = _read(delta, Draft.of(playbook.content), playbook.version + 1)
        return not isinstance(read, _Objection)

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
        calibration: Calibration = HONEST,
    ) -> CurationDecision:
        """Judge ``delta`` for ``playbook``; ``base`` is what the round of deltas started from.

        Several small deltas must not take away together what one may not. What is held against
        ``threshold`` is what ``calibration`` makes of the model's confidence.
        """
        before = Draft.of(playbook.content)
        started = before if base is None or base is playbook else Draft.of(base.content)
        sure = calibration(delta.confidence)
        read = _read(delta, before, playbook.version + 1)
        if isinstance(read, _Objection):
            return _refusal(delta, read, threshold, sure)
        operations = _effective(_supporting(read, before), before)
        objection = (
            _unsafe(read)
            or _ungrounded(delta, read)
            or _idle(operations)
            or _meddling(operations, before)
            or _collapse(operations, before, started)
            or _unsure(sure, delta.confidence, threshold)
        )
        if objection is not None:
            return _refusal(delta, objection, threshold, sure)
        rewritten: JsonObject = {"ops": [operation.as_json() for operation in operations]}
        known = all(isinstance(operation, Tag) for operation in operations)
        return CurationDecision(
            accepted=True,
            reason="duplicate" if known else "accepted",
            detail="known already: support added" if known else "",
            delta=delta.model_copy(update={"changes": rewritten}),
            threshold=threshold,
            calibrated=sure,
        )


def _refusal(
    delta: ContextDelta, objection: _Objection, threshold: float, sure: float
) -> CurationDecision:
    return CurationDecision(
        accepted=False,
        reason=objection.reason,
        detail=objection.detail,
        delta=delta,
        threshold=threshold,
        calibrated=sure,
    )


def _read(delta: ContextDelta, before: Draft, version: int) -> tuple[Operation, ...] | _Objection:
    try:
        operations = parse_operations(delta.changes.get("ops"))
        after = before.copy()
        perform(after, operations, version=version)
        check_size(after.content())
    except (InvalidInput, PlaybookTooLarge) as error:
        return _Objection("schema", error.detail)
    for operation in operations:
        if not isinstance(operation, AUTHORED) or _for_owners(operation):
            return _Objection(
                "schema", f"this {operation.op} is for the owner of the playbook only"
            )
    return operations


def _for_owners(operation: Operation) -> bool:
    """Pins are the owner's, and counts are what traces say, not what a model says of itself."""
    if isinstance(operation, Tag):
        return bool(operation.helpful or operation.harmful or operation.neutral)
    if isinstance(operation, Update):
        return operation.pinned is not None
    return isinstance(operation, Add) and operation.pinned


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
    if delta.changes.get("evidence_required") is not True:
        return None
    rules = [one for one in operations if isinstance(one, Add | Update | Merge) and one.text]
    if all(one.evidence for one in rules):
        return None
    return _Objection("ungrounded", "no quote of its evidence stands in the traces")


def _supporting(operations: Sequence[Operation], draft: Draft) -> tuple[Operation, ...]:
    """Additions of what an active bullet says already, or nearly, become support for it.

    Of additions that say the same, the first stays.
    """
    if not any(isinstance(operation, Add) for operation in operations):
        return tuple(operations)
    texts = {bullet: known.text for bullet, known in _active(draft).items()}
    exact = {normalised(text): bullet for bullet, text in texts.items()}
    alike = Likeness(texts)
    out: list[Operation] = []
    added: dict[str, str] = {}
    for operation in operations:
        if not isinstance(operation, Add):
            out.append(operation)
            continue
        text = normalised(operation.text)
        known = exact.get(text) or alike.like(operation.text)
        if known is not None:
            out.append(Tag(id=known, support=1, evidence=operation.evidence))
        elif text not in added and Likeness(added).like(operation.text) is None:
            added[text] = operation.text
            out.append(operation)
    return tuple(out)


def _effective(operations: Sequence[Operation], draft: Draft) -> tuple[Operation, ...]:
    """Without the operations that would only raise the version."""
    return tuple(operation for operation in operations if not _changes_nothing(operation, draft))


def _changes_nothing(operation: Operation, draft: Draft) -> bool:
    if isinstance(operation, Update):
        bullet = draft.place(operation.id).bullet
        same_text = operation.text in {None, bullet.text}
        return same_text and operation.status in {None, bullet.status}
    return isinstance(operation, Move) and draft.place(operation.id).section == operation.section


def _idle(operations: Sequence[Operation]) -> _Objection | None:
    return None if operations else _Objection("no_op", "the playbook would stay as it is")


def _meddling(operations: Sequence[Operation], draft: Draft) -> _Objection | None:
    names = touched(operations)
    for place in draft.bullets():
        if place.bullet.pinned and place.bullet.id in names:
            return _Objection("pinned", f"bullet {place.bullet.id!r} is pinned by its owner")
    return None


def _collapse(operations: Sequence[Operation], draft: Draft, base: Draft) -> _Objection | None:
    """Lessons are lost by removing them, and as well by rewriting them beyond recognition."""
    changed = draft.copy()
    perform(changed, operations, version=0)
    before, after = _active(base), _active(changed)
    lost = sum(
        bullet_id not in after or gutted(bullet.text, after[bullet_id].text)
        for bullet_id, bullet in before.items()
    )
    allowed = max(1, int(MOST_REMOVED * len(before)))
    if lost > allowed:
        return _Objection(
            "collapse", f"{lost} of {len(before)} bullets would go, {allowed} may at once"
        )
    return None


def _active(draft: Draft) -> dict[str, Bullet]:
    return {
        place.bullet.id: place.bullet
        for place in draft.bullets()
        if place.bullet.status == "active"
    }


def _unsure(sure: float, claimed: float, threshold: float) -> _Objection | None:
    if sure >= threshold:
        return None
    told = f"{sure:g}" if sure == claimed else f"{sure:.3g}, from {claimed:g} as claimed,"
    return _Objection("confidence", f"{told} is below {threshold:g}")


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
