"""The proof that a call may go where it is sent.

A provider takes nothing but a :class:`Cleared`, and a ``Cleared`` of a private call for a provider
that is not private cannot be made. Retry, fallback and routing mistakes therefore end in an error,
never in a leak.
"""

from __future__ import annotations

from dataclasses import dataclass

from agentcore.llm_gateway.errors import PrivacyViolationError
from agentcore.llm_gateway.models import NO_TRAITS, ChatCall, Traits


@dataclass(frozen=True, slots=True)
class Destination:
    """A provider as policy sees it."""

    name: str
    private: bool = False
    self_hosted: bool = False
    traits: Traits = NO_TRAITS


@dataclass(frozen=True, slots=True)
class Cleared:
    """``call`` may be sent to ``destination``.

    Raises:
        PrivacyViolationError: it may not.
    """

    call: ChatCall
    destination: Destination

    def __post_init__(self) -> None:
        _check(self.call, self.destination)

    def for_sending(self, destination: Destination) -> ChatCall:
        """The call, if it was cleared for exactly this destination: asked again at the send."""
        if destination is not self.destination and destination != self.destination:
            raise PrivacyViolationError(
                f"a call cleared for {self.destination.name!r} was handed to {destination.name!r}"
            )
        _check(self.call, destination)
        return self.call


def _check(call: ChatCall, destination: Destination) -> None:
    if call.requires_privacy and not destination.private:
        raise PrivacyViolationError(
            f"a private request may not go to {destination.name!r}",
            hint="only providers with 'private = true' receive private requests",
        )
