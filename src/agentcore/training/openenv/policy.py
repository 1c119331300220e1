"""Who plays: what an agent, a script or a trained model has to offer to act in an environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.models import Action


class Policy(Protocol):
    """Plays one episode; a fresh one is made for each.

    It sees what the environment shows (``Observation.state``) and nothing else. Outcomes are part
    of it, so whoever wants to learn within the episode remembers what ``act`` was given.
    """

    def act(self, observation: JsonObject) -> Action: ...


# Makes the player of the episode with this seed; the same seed makes the same player.
PolicyFactory = Callable[[int], Policy]


@dataclass(frozen=True, slots=True)
class PolicySet:
    """The scale of an environment: chance, a plausible beginner, and a strong player."""

    random: PolicyFactory
    naive: PolicyFactory
    reference: PolicyFactory

    def by_name(self) -> Mapping[str, PolicyFactory]:
        return {"random": self.random, "naive": self.naive, "reference": self.reference}
