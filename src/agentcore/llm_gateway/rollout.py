"""Which calls take which way first: the share of own hardware, and providers on trial."""

from __future__ import annotations

import zlib
from collections import deque
from dataclasses import dataclass, field

import structlog

from agentcore.llm_gateway.models import ChatCall
from agentcore.llm_gateway.ranking import STRAIGHT, Steering
from agentcore.llm_gateway.traffic import CanaryConfig, TrafficConfig

PARTS = 10_000
WINDOW = 200

log = structlog.get_logger()


@dataclass(slots=True)
class Trial:
    """A canary and what became of its calls; ``stopped`` until the configuration is read again.

    Judged by this process alone: each replica leaves a bad canary by its own experience.
    """

    config: CanaryConfig
    stopped: bool = False
    canary: deque[bool] = field(default_factory=lambda: deque(maxlen=WINDOW))
    others: deque[bool] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def told(self, provider: str, *, answered: bool) -> None:
        ours = provider == self.config.provider
        (self.canary if ours else self.others).append(answered)
        if ours and not self.stopped and len(self.canary) >= self.config.least:
            failing = _failures(self.canary)
            if failing > _failures(self.others) + self.config.margin:
                self.stopped = True
                log.warning(
                    "canary is left",
                    model=self.config.model,
                    provider=provider,
                    failure_rate=round(failing, 3),
                )


class Rollout:
    """Who is in a share is decided by the caller's name: nobody goes back and forth."""

    def __init__(self, config: TrafficConfig) -> None:
        self._own_share = config.self_hosted_share
        self.trials = {each.model: Trial(each) for each in config.canaries}

    def steer(self, call: ChatCall) -> Steering:
        if self._own_share >= 1 and not self.trials:
            return STRAIGHT
        own_first = self._own_share >= 1 or _part(call, "own") < self._own_share
        trial = self.trials.get(call.model)
        first = None
        if trial is not None and not trial.stopped:
            chosen = _part(call, trial.config.provider) < trial.config.share
            first = trial.config.provider if chosen else None
        return Steering(own_first, first)

    def told(self, call: ChatCall, provider: str, *, answered: bool) -> None:
        """How a provider did; failures of the caller's own making are not told."""
        if self.trials and (trial := self.trials.get(call.model)) is not None:
            trial.told(provider, answered=answered)


def _part(call: ChatCall, salt: str) -> float:
    """A number from 0 to 1 that belongs to the caller."""
    return zlib.crc32("\0".join((salt, *call.owner)).encode()) % PARTS / PARTS


def _failures(results: deque[bool]) -> float:
    return 1 - sum(results) / len(results) if results else 0.0
