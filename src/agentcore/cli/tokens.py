"""``agentcore token`` and ``agentcore keys``: credentials."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentcore.cli.config import ConfigFile, command_settings

if TYPE_CHECKING:
    from agentcore.kit.security import TokenAuthority
    from agentcore.llm_gateway.keys import ApiKeys
    from agentcore.settings import Settings

keys = typer.Typer(help="API keys: long-lived, revocable, hashed at rest.", no_args_is_help=True)
Subject = Annotated[str, typer.Option(help="Who the credential is for.")]
Tenant = Annotated[str, typer.Option(help="Whose data it may see.")]
Scopes = Annotated[
    list[str],
    typer.Option(
        "--scope",
        help="May be repeated: a2a, llm, context:read, context:write, env:act, env:control, "
        "metrics, admin.",
    ),
]


def token(
    subject: Subject,
    scope: Scopes,
    tenant: Tenant = "default",
    hours: Annotated[float | None, typer.Option(min=0.01, help="Lifetime in hours.")] = None,
    deployed: Annotated[
        bool, typer.Option("--deployed", help="For environments deployed in containers.")
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Print a JSON Web Token."""
    settings = command_settings(config)
    lifetime = timedelta(hours=settings.security.token_hours if hours is None else hours)
    issued = _authority(settings, deployed).issue(
        subject=subject, tenant=tenant, scopes=scope, lifetime=lifetime
    )
    typer.echo(issued)


def _authority(settings: Settings, deployed: bool) -> TokenAuthority:
    from agentcore.kit.clock import SYSTEM_CLOCK
    from agentcore.kit.security import TokenAuthority
    from agentcore.settings import signing_secret

    secret = signing_secret(settings)
    if deployed:
        from agentcore.training.openenv.deployment import environments_secret

        secret = environments_secret(secret)
    return TokenAuthority(secret, SYSTEM_CLOCK)


@keys.command("create")
def create_key(
    subject: Subject,
    scope: Scopes,
    tenant: Tenant = "default",
    private: Annotated[
        bool, typer.Option(help="Its requests may only reach private providers.")
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Make an API key; it is shown once and only its hash is kept."""
    import asyncio

    async def once() -> str:
        async with _keys(config) as known:
            _, plaintext = await known.create(
                subject=subject, tenant=tenant, scopes=scope, private=private
            )
            return plaintext

    typer.echo(asyncio.run(once()))


@keys.command("list")
def list_keys(tenant: Tenant = "default", config: ConfigFile = None) -> None:
    """List keys, without what is secret."""
    import asyncio

    from rich.console import Console
    from rich.table import Column, Table

    async def once() -> Table:
        table = Table(Column("key", no_wrap=True), "subject", "tenant", "scopes", "private")
        table.add_column("created", no_wrap=True)
        table.add_column("revoked", no_wrap=True)
        async with _keys(config) as known:
            for key in await known.list(tenant):
                table.add_row(
                    key.key_id,
                    key.subject,
                    key.tenant,
                    " ".join(sorted(key.scopes)),
                    "yes" if key.private else "",
                    f"{key.created_at:%Y-%m-%d %H:%M}",
                    f"{key.revoked_at:%Y-%m-%d %H:%M}" if key.revoked_at else "",
                )
        return table

    Console().print(asyncio.run(once()))


@keys.command("revoke")
def revoke_key(key_id: str, tenant: Tenant = "default", config: ConfigFile = None) -> None:
    """Revoke a key by its id; every replica refuses it within seconds."""
    import asyncio

    async def once() -> None:
        async with _keys(config) as known:
            await known.revoke(key_id, tenant=tenant)

    asyncio.run(once())
    typer.echo(f"revoked {key_id}")


@asynccontextmanager
async def _keys(config: Path | None) -> AsyncIterator[ApiKeys]:
    from agentcore.kit.clock import SYSTEM_CLOCK
    from agentcore.kit.servers import open_servers
    from agentcore.kit.storage import open_schema
    from agentcore.llm_gateway.keys import ApiKeys
    from agentcore.llm_gateway.store import KeyStore

    settings = command_settings(config)
    async with (
        open_servers(settings.home, settings.database, None) as servers,
        open_schema(settings.database, servers) as database,
    ):
        yield ApiKeys(KeyStore(lambda: database), SYSTEM_CLOCK)
