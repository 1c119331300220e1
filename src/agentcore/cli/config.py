"""Settings for commands that do one thing and end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agentcore.settings import Settings

NOTHING: Mapping[str, str | float] = MappingProxyType({})
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="Settings file (TOML).", show_default=False)
]


def command_settings(
    config: Path | None, overrides: Mapping[str, str | float] = NOTHING
) -> Settings:
    """Settings from file, environment and dotted names; only warnings are logged, on stderr.

    Those of the gateway are left out: keys of providers are where the service runs.
    """
    from agentcore.observability.logs import configure_logs
    from agentcore.settings import load_settings

    configure_logs(level="warning", form="console")
    return load_settings(config, overrides={**overrides, "llm_gateway": {}})
