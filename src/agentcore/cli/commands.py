"""All commands; each imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentcore.cli import capacity, costs, data, limits, remote, simulate, tokens
from agentcore.cli.env import group as env
from agentcore.cli.starting import serve

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
app.command()(serve)
app.command("token")(tokens.token)
remote.attach(app)
app.command()(costs.costs)


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
