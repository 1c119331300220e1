from __future__ import annotations

import pytest
from pydantic import ValidationError

from agentcore.a2a_protocol.models.config import A2AConfig


def test_every_setting_has_a_default_and_a_description() -> None:
    A2AConfig.model_validate({})
    assert all(field.description for field in A2AConfig.model_fields.values())


@pytest.mark.parametrize(
    "wrong", [{"max_depth": 100}, {"lease_seconds": 0}, {"max_batch": 0}, {"unknown": 1}]
)
def test_settings_that_cannot_work(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        A2AConfig.model_validate(wrong)
