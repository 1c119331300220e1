from __future__ import annotations

import pytest
from pydantic import ValidationError

from agentcore.training.openenv.scheduling_config import SchedulingConfig


def test_a_process_may_run_no_jobs_but_not_fewer() -> None:
    assert SchedulingConfig(jobs_at_once=0).jobs_at_once == 0
    for wrong in ({"jobs_at_once": -1}, {"poll_seconds": 0}, {"lease_seconds": 0}):
        with pytest.raises(ValidationError):
            SchedulingConfig.model_validate(wrong)
