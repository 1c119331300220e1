"""Settings for commands that do one thing and end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agentcore.settings import Settings


ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="Settings file (TOML).", show_default=False)
]


def command_settings(config: Path | None) -> Settings:
    """Settings from file and environment; only warnings are logged, on stderr."""
    from agentcore.observability.logs import configure_logs
    from agentcore.settings import load_settings

    configure_logs(level="warning", form="console")
    return load_settings(config)
