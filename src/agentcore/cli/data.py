"""``agentcore db``: the schema and the embedded servers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from agentcore.cli.config import ConfigFile, command_settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agentcore.kit.db import Database

T = TypeVar("T")

app = typer.Typer(help="Schema migrations and the embedded servers.", no_args_is_help=True)


@app.command()
def upgrade(config: ConfigFile = None) -> None:
    """Bring the schema to this version's; safe to run from several processes at once."""
    from agentcore.kit.db_migrations import migrate

    before, after = _with_database(config, migrate)
    typer.echo(f"schema {before or 'none'} -> {after}")


@app.command()
def downgrade(revision: str, config: ConfigFile = None) -> None:
    """Take the schema back to REVISION, for example 0001."""
    from agentcore.kit.db_migrations import migrate

    before, after = _with_database(config, lambda database: migrate(database, revision))
    typer.echo(f"schema {before or 'none'} -> {after}")


@app.command()
def current(config: ConfigFile = None) -> None:
    """Show the schema's revision and the one this version needs."""
    from agentcore.kit import db_migrations

    found = _with_database(config, db_migrations.current)
    typer.echo(f"schema {found or 'none'}, this version needs {db_migrations.head()}")


@app.command()
def check(config: ConfigFile = None) -> None:
    """Compare the migrated schema with the tables in the code; exit 1 when they differ."""
    from agentcore.kit.db_migrations import differences

    found = _with_database(config, differences)
    for line in found:
        typer.echo(line)
    if found:
        raise typer.Exit(1)
    typer.echo("schema and code agree")


@app.command()
def status(config: ConfigFile = None) -> None:
    """Show the embedded servers of the home directory."""
    from agentcore.kit import embedded

    home = command_settings(config).home
    typer.echo(f"home {home}")
    for line in embedded.status(home):
        typer.echo(str(line))


@app.command()
def stop(config: ConfigFile = None) -> None:
    """Stop embedded servers of the home that nobody uses any more."""
    from agentcore.kit import embedded

    home = command_settings(config).home
    embedded.stop(home)
    typer.echo(f"nothing runs in {home}")


def _with_database(config: Path | None, work: Callable[[Database], Awaitable[T]]) -> T:
    import asyncio

    from agentcore.kit.storage import open_any_schema

    settings = command_settings(config)

    async def once() -> T:
        async with open_any_schema(settings.home, settings.database) as database:
            return await work(database)

    return asyncio.run(once())
