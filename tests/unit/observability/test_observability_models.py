from __future__ import annotations

import pytest
from pydantic import ValidationError

from agentcore.observability.models import ObservabilityConfig


def test_tracing_is_off_unless_an_address_is_given() -> None:
    assert ObservabilityConfig().tracing.endpoint is None
    given = {"tracing": {"endpoint": "http://127.0.0.1:4318/v1/traces", "sample": 0.1}}
    assert ObservabilityConfig.model_validate(given).tracing.sample == 0.1


@pytest.mark.parametrize("tracing", [{"endpoint": "collector:4318"}, {"sample": 2}, {"url": "x"}])
def test_wrong_settings_are_refused(tracing: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ObservabilityConfig.model_validate({"tracing": tracing})
