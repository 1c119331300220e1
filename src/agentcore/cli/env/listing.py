"""What can be played."""

from __future__ import annotations

import typer

from agentcore.cli.config import ConfigFile
from agentcore.cli.options import Token, Url
from agentcore.cli.tables import show_table


def attach(app: typer.Typer) -> None:
    app.command("list")(list_environments)


def list_environments(url: Url = None, token: Token = None, config: ConfigFile = None) -> None:
    """List the environments that can be opened."""
    from agentcore.cli.client import connect

    found = connect(url, token, config).get("/internal/environments")
    show_table(found.get("environments"), ("name", "source", "url"))
