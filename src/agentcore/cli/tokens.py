"""``agentcore token``: credentials that nobody keeps."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from agentcore.cli.config import ConfigFile, command_settings

if TYPE_CHECKING:
    from agentcore.kit.security import TokenAuthority
    from agentcore.settings import Settings

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
    hours: Annotated[
        float | None, typer.Option(min=0.01, max=876_000, help="Lifetime in hours.")
    ] = None,
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
