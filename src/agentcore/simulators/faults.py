from __future__ import annotations

from collections.abc import Sequence
from random import Random

from agentcore.simulators.models import Fault, FaultKind
from agentcore.simulators.wire import (
    BAD_GATEWAY,
    INTERNAL_ERROR,
    RATE_LIMITED,
    ROUTING_ERROR,
    ROUTING_NOT_READY,
    SERVER_NOT_READY,
    Refusal,
)

REFUSALS: dict[FaultKind, Refusal] = {
    "server_not_ready": SERVER_NOT_READY,
    "routing_not_ready": ROUTING_NOT_READY,
    "rate_limited": RATE_LIMITED,
    "bad_gateway": BAD_GATEWAY,
    "routing_error": ROUTING_ERROR,
    "internal_error": INTERNAL_ERROR,
}


# Not about single requests: they last until they are replaced.
STANDING: frozenset[FaultKind] = frozenset({"start_budget", "slow_status"})


class FaultBoard:
    """The faults in force. Equal seeds and equal orders of requests strike the same requests."""

    def __init__(self, faults: Sequence[Fault], *, seed: int) -> None:
        self._random = Random(seed)
        self._faults: tuple[Fault, ...] = ()
        self._struck: list[int] = []
        self.replace(faults)

    @property
    def faults(self) -> tuple[Fault, ...]:
        return self._faults

    def replace(self, faults: Sequence[Fault]) -> None:
        self._faults = tuple(faults)
        self._struck = [0] * len(self._faults)

    def strike(self) -> dict[FaultKind, Fault]:
        """Roll for one request: what goes wrong with it."""
        return {
            fault.kind: fault
            for number, fault in enumerate(self._faults)
            if fault.kind not in STANDING and self._strikes(number, fault)
        }

    def standing(self, kind: FaultKind) -> Fault | None:
        """A fault that is in force whether it strikes a request or not."""
        return next((fault for fault in self._faults if fault.kind == kind), None)

    def _strikes(self, number: int, fault: Fault) -> bool:
        if fault.times is not None and self._struck[number] >= fault.times:
            return False
        if fault.rate < 1 and self._random.random() >= fault.rate:
            return False
        self._struck[number] += 1
        return True
