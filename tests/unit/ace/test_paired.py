from __future__ import annotations

from collections.abc import Sequence

from agentcore.ace.models import ContextPlaybook
from agentcore.ace.paired import BATCH, compared, decided
from agentcore.ace.ports import Pair
from agentcore.ace.sequential import Evidence
from tests.fakes.playbooks import made_playbook


class Rewards:
    """Each seed's reward is fixed; the challenger gains ``gain`` on every second one."""

    def __init__(self, gain: float) -> None:
        self._gain = gain
        self.played: list[int] = []

    async def play(
        self, champion: ContextPlaybook, challenger: ContextPlaybook, seeds: Sequence[int]
    ) -> list[Pair]:
        assert (champion.version, challenger.version) == (1, 2)
        self.played += seeds
        return [
            Pair(champion=0.5, challenger=0.5 + (self._gain if seed % 2 else 0.0)) for seed in seeds
        ]


async def test_trials_end_when_it_is_sure_who_is_better() -> None:
    for gain, outcome in ((0.5, "better"), (-0.5, "worse")):
        rewards = Rewards(gain)
        verdict = await compared(
            rewards, made_playbook(version=1), made_playbook(version=2), range(400)
        )
        assert verdict.outcome == outcome
        assert len(rewards.played) == verdict.evidence.treated.count < 80
        assert rewards.played == list(range(len(rewards.played)))


async def test_what_makes_no_difference_ends_when_the_rest_could_not_show_any() -> None:
    for seeds, played in ((BATCH - 1, 0), (BATCH, BATCH), (3 * BATCH + 1, 3 * BATCH)):
        rewards = Rewards(0.0)
        verdict = await compared(rewards, made_playbook(), made_playbook(version=2), range(seeds))
        assert (verdict.outcome, len(rewards.played)) == ("futile", played)


def test_what_the_last_pairs_can_still_show_is_waited_for() -> None:
    """Giving up early never changes who would be promoted."""
    none = Evidence.none(48)
    fewest = next(left for left in range(48) if decided(none, left) is None)
    won = none
    for _ in range(fewest):
        won = won.paired(1.0, 0.0)
    assert decided(won, 0) == "better"
    late = none
    for _ in range(48 - fewest):
        late = late.paired(0.5, 0.5)
    for number in range(fewest):
        assert decided(late, fewest - number) is None
        late = late.paired(1.0, 0.0)
    assert decided(late, 0) == "better"
