"""``agentcore capacity``: what providers can take, and another model for a Parallax cluster."""

from __future__ import annotations

import typer

from agentcore.cli.config import ConfigFile
from agentcore.cli.options import Token, Url

app = typer.Typer(
    help="What providers can take, and another model for a cluster.", no_args_is_help=True
)
COLUMNS = ("provider", "health", "in_flight", "limit", "queued", "start_tokens", "source")
# A model is loaded in minutes, and the answer comes when it works.
SWITCH_SECONDS = 2000.0


@app.command()
def show(url: Url = None, token: Token = None, config: ConfigFile = None) -> None:
    """List what each provider can take now."""
    from agentcore.cli.client import connect
    from agentcore.cli.tables import show_table
    from agentcore.kit.jsonvalue import objects_of

    found = connect(url, token, config).get("/internal/capacity")
    show_table(objects_of(found.get("items")), (*COLUMNS, "models"))


@app.command()
def preload(
    provider: str,
    model: str,
    url: Url = None,
    token: Token = None,
    config: ConfigFile = None,
) -> None:
    """Have a Parallax cluster serve MODEL instead of what it serves: an outage of minutes."""
    from urllib.parse import quote

    from agentcore.cli.client import connect

    client = connect(url, token, config, seconds=SWITCH_SECONDS)
    told = client.post(f"/internal/capacity/{quote(provider, safe='')}/model", {"model": model})
    typer.echo(
        f"{told.get('cluster')} serves {told.get('model')} (before: {told.get('before')}, "
        f"{told.get('seconds')} s without service)"
    )
