"""Commands that ask a running service: models, agents, playbooks."""

from __future__ import annotations

from typing import Annotated

import typer

from agentcore.cli.config import ConfigFile
from agentcore.cli.options import Token, Url
from agentcore.cli.tables import cell_text, show_table
from agentcore.kit.jsonvalue import objects_of

ace = typer.Typer(help="Context playbooks and their evolution.", no_args_is_help=True)


def attach(app: typer.Typer) -> None:
    app.add_typer(ace, name="ace")
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


@ace.command("show")
def show_playbook(
    agent_id: str, url: Url = None, token: Token = None, config: ConfigFile = None
) -> None:
    """Print an agent's playbook as its prompts see it."""
    from agentcore.cli.client import connect

    client = connect(url, token, config)
    rendered = client.get(f"/internal/context/playbooks/{agent_id}/render")
    typer.echo(rendered.get("text"))


@ace.command("evolve")
def evolve_playbook(
    agent_id: str,
    force: Annotated[bool, typer.Option(help="Also with few traces.")] = False,
    url: Url = None,
    token: Token = None,
    config: ConfigFile = None,
) -> None:
    """Ask for an evolution of an agent's playbook."""
    from agentcore.cli.client import connect

    answer = connect(url, token, config).post(
        "/internal/context/evolution/trigger", {"agent_id": agent_id, "force": force}
    )
    typer.echo(f"enqueued at position {answer.get('position')}")


@ace.command("status")
def evolution_status(
    agent_id: str, url: Url = None, token: Token = None, config: ConfigFile = None
) -> None:
    """Show how far an agent's evolution is."""
    from agentcore.cli.client import connect

    answer = connect(url, token, config).get(f"/internal/context/evolution/status/{agent_id}")
    for name, value in answer.items():
        typer.echo(f"{name}: {cell_text(value)}")
