"""How a check is written, and how it says what it saw."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from agentcore.training.openenv.conformance.models import Severity
from agentcore.training.openenv.conformance.subject import Subject
from agentcore.training.openenv.conformance.wire import shortened

Run = Callable[[Subject], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Check:
    """``section`` is the part of the protocol that asks for it.

    What breaks a ``must`` or an ``extra`` fails, what breaks a ``should`` is a warning. An
    ``extra`` is AgentCore's own and is skipped where the server does not offer it.
    """

    id: str
    title: str
    section: str
    severity: Severity
    run: Run


def check(
    name: str, title: str, section: str, severity: Severity = "must"
) -> Callable[[Run], Check]:
    def record(run: Run) -> Check:
        return Check(id=name, title=title, section=section, severity=severity, run=run)

    return record


def checks_of(names: Mapping[str, object]) -> tuple[Check, ...]:
    """The checks among the names of a module, as they stand in it."""
    return tuple(each for each in names.values() if isinstance(each, Check))


class Violation(Exception):
    def __init__(self, expected: str, got: str) -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.expected = expected
        self.got = got


class NotApplicable(Exception):
    """The check says nothing about this server."""


def require(holds: bool, expected: str, got: object) -> None:  # noqa: FBT001 -- reads as assert
    """Raise ``Violation`` unless it ``holds``; ``got`` is shown as JSON."""
    if not holds:
        raise Violation(expected, got if isinstance(got, str) else shortened(got))
