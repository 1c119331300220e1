"""Deltas that wait for their trial. One is tried at a time and may take hundreds of tasks, while
each evolution proposes more, often the same again: without a bound the line only grows.
"""

from __future__ import annotations

from collections.abc import Sequence

from agentcore.ace.content import normalised
from agentcore.ace.journal import Entry
from agentcore.ace.ops import Add, Operation
from agentcore.kit.jsonvalue import JsonObject

CANDIDATE = "candidate"
IN_TRIAL = "in_trial"
WAITING = (CANDIDATE, IN_TRIAL)
REPEATED = "repeated"
LINE_FULL = "line_full"


class WaitingLine:
    """``found`` are the playbook's entries that wait or are in trial; at most ``most`` wait."""

    def __init__(self, found: Sequence[Entry], *, most: int) -> None:
        self._most = most
        self._length = sum(entry.gate.get("reason") == CANDIDATE for entry in found)
        self._said = {text for entry in found for text in _said(entry.operations)}

    def __len__(self) -> int:
        """How many wait."""
        return self._length

    def place(self, operations: Sequence[Operation]) -> JsonObject:
        """What becomes of one more, as its decision tells it."""
        said = set(_said(operations))
        additions = all(isinstance(operation, Add) for operation in operations)
        if additions and said <= self._said:
            return {"reason": REPEATED, "detail": "what it adds waits for its trial already"}
        if self._length >= self._most:
            return {"reason": LINE_FULL, "detail": f"{self._most} others wait for their trial"}
        self._length += 1
        self._said |= said
        return {"reason": CANDIDATE}


def _said(operations: Sequence[Operation]) -> list[str]:
    return [normalised(operation.text) for operation in operations if isinstance(operation, Add)]
