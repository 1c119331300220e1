"""The ``agentcore`` command: each subcommand imports what it needs when it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated

import typer

from agentcore.cli import capacity, costs, data, limits, remote, simulate, tokens
from agentcore.cli.config import ConfigFile
from agentcore.cli.env import group as env
from agentcore.cli.foreign import shown

app = typer.Typer(
    name="agentcore",
    help="One service behind the whole life of a fleet of LLM agents.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
)
app.add_typer(data.app, name="db")
app.add_typer(limits.keys, name="keys")
app.add_typer(limits.budgets, name="budgets")
app.add_typer(limits.rates, name="rates")
app.add_typer(simulate.app, name="simulate")
app.add_typer(env.app, name="env")
app.add_typer(capacity.app, name="capacity")
app.command("token")(tokens.token)
remote.attach(app)
app.command()(costs.costs)


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


@app.command()
def demo(
    stay: Annotated[bool, typer.Option("--stay", help="Leave the service running.")] = False,
    rounds: Annotated[int, typer.Option(min=2, max=20, help="Rounds of learning.")] = 5,
    episodes: Annotated[
        int, typer.Option(min=10, max=200, help="Episodes per agent and round.")
    ] = 12,
    agents: Annotated[int, typer.Option(min=1, max=8, help="Agents that learn.")] = 2,
    seed: Annotated[int, typer.Option(help="Seed of the environments.")] = 7,
    picture: Annotated[
        Path | None, typer.Option(help="Save what is shown as an SVG picture.")
    ] = None,
) -> None:
    """Run the whole loop on embedded defaults and show what improved."""
    from agentcore.cli.demo.command import DemoPlan, run_demo

    plan = DemoPlan(
        rounds=rounds, episodes=episodes, agents=agents, seed=seed, stay=stay, picture=picture
    )
    raise typer.Exit(run_demo(plan))


def run(arguments: Sequence[str]) -> int:
    """The exit code: 0 done, 1 refused, 2 wrong usage or configuration, 130 interrupted."""
    from agentcore.kit.errors import AgentCoreError, StartupError

    try:
        _command()(list(arguments))
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0
    except AgentCoreError as error:
        hint = f"\n  hint: {shown(error.hint)}" if error.hint else ""
        typer.echo(f"agentcore: {shown(error.detail)}{hint}", err=True)
        return 2 if isinstance(error, StartupError) else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0
    except OSError as error:
        _forget_output()
        where = f"{error.filename}: " if error.filename else ""
        typer.echo(f"agentcore: {shown(f'{where}{error.strerror or error}')}", err=True)
        return 1
    return 0


@cache
def _command() -> Callable[[list[str]], object]:
    """Made once: reading the signatures of all commands takes longer than most of them."""
    return typer.main.get_command(app)


def _forget_output() -> None:
    """What a full disk did not take stays buffered, and would fail again when Python ends."""
    import os
    import sys

    try:
        sys.stdout.flush()
    except OSError:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
