"""The group `agentcore env`."""

from __future__ import annotations

import typer

from agentcore.cli.env.deploying import deploy, status, undeploy
from agentcore.cli.env.listing import list_environments
from agentcore.cli.env.registering import discover, import_catalog, register, unregister
from agentcore.cli.env.replaying import export, replay
from agentcore.cli.env.running import bench, run
from agentcore.cli.env.scaffolding import new
from agentcore.cli.env.serving import serve
from agentcore.cli.env.validating import validate

app = typer.Typer(help="Environments that agents can play.", no_args_is_help=True)
app.command("list")(list_environments)
app.command()(register)
app.command()(unregister)
app.command()(discover)
app.command("import")(import_catalog)
app.command()(serve)
app.command()(validate)
app.command()(run)
app.command()(bench)
app.command()(replay)
app.command()(export)
app.command()(new)
app.command()(deploy)
app.command()(undeploy)
app.command()(status)
