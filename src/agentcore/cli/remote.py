"""Commands that ask a running service: models; agents and playbooks have modules of their own."""

from __future__ import annotations

import typer

from agentcore.cli import agents, playbooks
from agentcore.cli.config import ConfigFile
from agentcore.cli.options import Token, Url
from agentcore.cli.tables import show_table
from agentcore.kit.jsonvalue import objects_of


def attach(app: typer.Typer) -> None:
    app.add_typer(playbooks.app, name="ace")
    app.command()(models)
    app.add_typer(agents.app, name="agents")


def models(url: Url = None, token: Token = None, config: ConfigFile = None) -> None:
    """List the models that the gateway serves."""
    from agentcore.cli.client import connect

    found = connect(url, token, config).get("/v1/models")
    show_table(objects_of(found.get("data")), ("id", "owned_by"))
