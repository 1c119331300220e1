from __future__ import annotations

import pytest
from pydantic import ValidationError

from agentcore.training.openenv.registry_config import HubConfig, RegistryConfig


def test_the_hub_is_asked_without_a_token() -> None:
    config = RegistryConfig()
    assert str(config.hub.endpoint) == "https://huggingface.co/"
    assert config.hub.token.get_secret_value() == ""


def test_a_token_is_not_shown() -> None:
    assert "hf_x" not in repr(HubConfig.model_validate({"token": "hf_x"}))


@pytest.mark.parametrize("name", ["monitor_seconds", "deep_health_seconds"])
def test_times_are_positive(name: str) -> None:
    with pytest.raises(ValidationError):
        RegistryConfig.model_validate({name: 0})
