"""Commands that ask a running service: models and agents; playbooks have a module of their own."""

from __future__ import annotations

from typing import Annotated

import typer

from agentcore.cli import playbooks
from agentcore.cli.config import ConfigFile
from agentcore.cli.options import Token, Url
from agentcore.cli.tables import show_table
from agentcore.kit.jsonvalue import objects_of


def attach(app: typer.Typer) -> None:
    app.add_typer(playbooks.app, name="ace")
    app.command()(models)
    app.command()(agents)


def models(url: Url = None, token: Token = None, config: ConfigFile = None) -> None:
    """List the models that the gateway serves."""
    from agentcore.cli.client import connect

    found = connect(url, token, config).get("/v1/models")
    show_table(objects_of(found.get("data")), ("id", "owned_by"))


def agents(
    text: Annotated[str, typer.Argument(help="Words to look for.")] = "",
    url: Url = None,
    token: Token = None,
    config: ConfigFile = None,
) -> None:
    """List registered agents, best match first."""
    from agentcore.cli.client import connect

    found = connect(url, token, config).rpc("agent.discover", {"text": text} if text else {})
    show_table(objects_of(found.get("agents")), ("agent_id", "name", "status", "capabilities"))
