"""Asking a second provider when the first is late, within a budget."""

from __future__ import annotations

from agentcore.llm_gateway.models import ChatCall
from agentcore.llm_gateway.traffic import HedgeConfig

# Calls that the budget can save up for a bad moment.
SAVED = 10.0


class Hedges:
    """Each call of high priority earns its share of a second one."""

    def __init__(self, config: HedgeConfig) -> None:
        self._config = config
        self._earned = 0.0

    def earn(self, call: ChatCall) -> None:
        """Once for each call, however many attempts it takes."""
        if call.priority == "high":
            self._earned = min(SAVED, self._earned + self._config.share)

    def patience(self, call: ChatCall, late: float | None) -> float | None:
        """Seconds that the first provider has; None: nobody else is asked meanwhile."""
        if not self._config.share or call.priority != "high":
            return None
        return None if late is None else max(late, self._config.floor)

    def spend(self) -> bool:
        """Whether a second one may be asked now."""
        if self._earned < 1:
            return False
        self._earned -= 1
        return True
