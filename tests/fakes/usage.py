"""Where replicas write what they played, without a database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agentcore.training.openenv.specs import Played


@dataclass
class Written:
    """In the place of the table: what was written, and what to raise instead."""

    faults: list[BaseException] = field(default_factory=list)
    batches: list[Mapping[tuple[str, str], Played]] = field(default_factory=list)

    async def add_played(self, played: Mapping[tuple[str, str], Played]) -> None:
        if self.faults:
            raise self.faults.pop(0)
        self.batches.append(played)
