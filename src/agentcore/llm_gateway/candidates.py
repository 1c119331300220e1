"""What is known about a provider at one moment, for choosing among them."""

from __future__ import annotations

import math
from typing import NamedTuple

from agentcore.llm_gateway.models import NO_TRAITS, ChatCall, Traits
from agentcore.llm_gateway.prices import Price

BYTES_PER_TOKEN = 4
ASSUMED_COMPLETION = 512
RETRY_SECONDS = 1.0


class Pace(NamedTuple):
    """How fast a provider has been of late; None where nothing is known."""

    first_seconds: float | None = None
    tokens_per_second: float | None = None

    def seconds(self, completion: int) -> float:
        """What an answer of so many tokens is expected to take; infinite where unknown."""
        if self.first_seconds is None:
            return math.inf
        rate = self.tokens_per_second
        return self.first_seconds + (completion / rate if rate else 0.0)


UNKNOWN_PACE = Pace()


class ProviderState(NamedTuple):
    """One provider at one moment. ``serves`` None: its models are not known yet.

    ``speaks``: the call's dialect, whichever model it asks for.
    ``why`` says what makes it unavailable or saturated; ``retry_after`` when that may end, and
    ``wait`` how long the call would stand in line for it, None where it cannot. ``outstanding``
    are the calls it has, those in line included.
    """

    name: str
    self_hosted: bool
    private: bool
    serves: bool | None
    available: bool = True
    has_capacity: bool = True
    load: float = 0.0
    price: Price | None = None
    why: str = ""
    retry_after: float = RETRY_SECONDS
    wait: float | None = None
    traits: Traits = NO_TRAITS
    pace: Pace = UNKNOWN_PACE
    speaks: bool = True
    outstanding: int = 0

    @property
    def could_serve(self) -> bool:
        """It is the right kind of provider, or may be, whatever its condition now."""
        return self.speaks and self.serves is not False


def expected_cost(state: ProviderState, call: ChatCall) -> float:
    """USD; infinite where no price is known."""
    if state.price is None:
        return math.inf
    prompt = call.prompt_bytes // BYTES_PER_TOKEN
    return state.price.estimate(prompt, call.max_tokens or ASSUMED_COMPLETION)
