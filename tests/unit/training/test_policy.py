from __future__ import annotations

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.models import Action
from agentcore.training.openenv.policy import PolicySet


class Named:
    def __init__(self, name: str) -> None:
        self.name = name

    def act(self, observation: JsonObject) -> Action:
        return Action(type=self.name)


def test_a_set_is_looked_up_by_name() -> None:
    policies = PolicySet(
        random=lambda seed: Named(f"random-{seed}"),
        naive=lambda seed: Named("naive"),
        reference=lambda seed: Named("reference"),
    )
    named = policies.by_name()
    assert list(named) == ["random", "naive", "reference"]
    assert [make(3).act({}).type for make in named.values()] == ["random-3", "naive", "reference"]
