"""``agentcore serve``, apart from the other commands: a service would keep them while it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from agentcore.cli.config import ConfigFile

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False, rich_markup_mode="rich")


@app.callback()
def agentcore() -> None:
    """A group like that of all commands, so that it is called in the same way."""


@app.command()
def serve(
    config: ConfigFile = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0: a free one.")] = None,
    auth: Annotated[
        bool | None, typer.Option("--auth/--no-auth", help="Ask callers for credentials.")
    ] = None,
    agent: Annotated[
        list[str] | None,
        typer.Option(help="An agent of your own to run, as module:NAME; may be repeated."),
    ] = None,
) -> None:
    """Run the service (embedded PostgreSQL and Valkey unless URLs are set)."""
    from agentcore.cli.serving import run_service

    given = {"server.host": host, "server.port": port, "security.auth": auth, "a2a.hosted": agent}
    overrides = {name: value for name, value in given.items() if value is not None}
    raise typer.Exit(run_service(config, overrides))
