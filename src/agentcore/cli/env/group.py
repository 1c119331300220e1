"""The group `agentcore env`; each of its modules attaches its own commands."""

from __future__ import annotations

import typer

from agentcore.cli.env import (
    deploying,
    listing,
    registering,
    replaying,
    running,
    scaffolding,
    serving,
    validating,
)

app = typer.Typer(help="Environments that agents can play.", no_args_is_help=True)
listing.attach(app)
registering.attach(app)
serving.attach(app)
validating.attach(app)
running.attach(app)
replaying.attach(app)
scaffolding.attach(app)
deploying.attach(app)
