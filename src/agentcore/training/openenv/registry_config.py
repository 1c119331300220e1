"""The registry's settings."""

from __future__ import annotations

from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, SecretStr


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HubConfig(_Config):
    """Where environments that others publish are looked up."""

    endpoint: AnyHttpUrl = Field(
        AnyHttpUrl("https://huggingface.co"), description="Base URL of the Hub."
    )
    token: SecretStr = Field(
        SecretStr(""),
        description="Access token for private Spaces; a reference such as env:HF_TOKEN. Empty: "
        "none is sent.",
    )
    seconds: float = Field(
        60.0, gt=0, description="Seconds that one discovery may take, with all its pages."
    )


class RegistryConfig(_Config):
    hub: HubConfig = Field(
        default_factory=HubConfig, description="The Hub that environments are discovered on."
    )
    monitor_seconds: float = Field(
        300.0,
        gt=0,
        description="Seconds between two checks of a registered environment; an environment that "
        "fails is asked less and less often, at last once an hour.",
    )
    deep_health_seconds: float = Field(
        20.0, gt=0, description="Seconds that a check (open, reset, one step) may take."
    )
