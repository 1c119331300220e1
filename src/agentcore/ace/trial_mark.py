"""What ``context_playbooks.metadata`` remembers of trials in an environment."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from agentcore.ace.models import ContextPlaybook
from agentcore.kit.jsonvalue import JsonObject

TRIAL = "trial"


class TrialMark(BaseModel):
    """That there is something to try; ``experiment`` once it has begun; who plays right now."""

    model_config = ConfigDict(frozen=True)

    requested_at: datetime
    experiment: str | None = None
    claim: str | None = None
    claimed_at: datetime | None = None
    resting_until: datetime | None = None
    failures: int = 0
    error: str | None = None

    @classmethod
    def of(cls, playbook: ContextPlaybook) -> TrialMark | None:
        found = playbook.metadata.get(TRIAL)
        return None if found is None else cls.model_validate(found)

    def as_json(self) -> JsonObject:
        dumped: JsonObject = self.model_dump(mode="json", exclude_none=True)
        return dumped
