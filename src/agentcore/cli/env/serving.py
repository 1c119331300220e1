"""One environment, served alone: small, and quick to start."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentcore.cli.config import ConfigFile

if TYPE_CHECKING:
    from agentcore.kit.security import Authenticator
    from agentcore.settings import Settings
    from agentcore.training.openenv.environments.catalog import EnvironmentFactory

# Where OpenEnv's own servers listen.
PORT = 8000


def serve(
    environment: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A bundled environment, package.module:Class, or path/to/dir:Class.",
        ),
    ],
    config: ConfigFile = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0: a free one.")] = None,
    max_sessions: Annotated[
        int | None, typer.Option(min=1, help="Most sessions at once.", show_default=False)
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            help="The bearer token to ask callers for; env:NAME or file:PATH refer to it."
        ),
    ] = None,
    agent_token: Annotated[
        str | None, typer.Option(help="A second one, for agents: they act and cannot reset.")
    ] = None,
    auth: Annotated[
        bool | None, typer.Option("--auth/--no-auth", help="Ask callers for credentials.")
    ] = None,
) -> None:
    """Serve one environment by itself, as OpenEnv's servers do."""
    given = {
        "server.host": host,
        "server.port": port,
        "security.auth": auth,
        "training.server.max_sessions": max_sessions,
        "training.server.token": token,
        "training.server.agent_token": agent_token,
    }
    overrides = {name: value for name, value in given.items() if value is not None}
    run_environment(environment, config, overrides)


def run_environment(reference: str, config: Path | None, overrides: dict[str, Any]) -> None:
    """Serve until SIGTERM or SIGINT."""
    from agentcore.cli.serving import bind
    from agentcore.kit.http import origin
    from agentcore.observability.logs import configure_logs
    from agentcore.settings import load_container_settings
    from agentcore.training.openenv.environments.loading import load_environment

    settings = load_container_settings(config, overrides=overrides)
    if "port" not in settings.server.model_fields_set:
        server = settings.server.model_copy(update={"port": PORT})
        settings = settings.model_copy(update={"server": server})
    configure_logs(level=settings.server.log_level, form=settings.server.log_format)
    name, factory = load_environment(reference)
    with bind(settings) as listening:
        _serve_at(listening, settings, (name, factory), origin(*listening.getsockname()[:2]))


def _serve_at(
    listening: Any, settings: Settings, environment: tuple[str, EnvironmentFactory], url: str
) -> None:
    from prometheus_client import CollectorRegistry

    from agentcore.cli.serving import BACKLOG, build_server, loop_factory, serve_until_stopped
    from agentcore.kit.drain import Drain
    from agentcore.training.openenv.metrics import OpenEnvMetrics
    from agentcore.training.openenv.server import EnvironmentServer
    from agentcore.training.openenv.serving.standalone import MetricsBeside, standalone_app

    config, registry = settings.training.server, CollectorRegistry()
    app = EnvironmentServer(*environment, config=config)
    app.watched_by(OpenEnvMetrics(registry, [app.name]).watch(app.name, "server"))
    drain = Drain([app])
    alone = standalone_app(
        MetricsBeside(app, registry),
        authenticator(settings),
        drain,
        allowed_origins=config.allowed_origins,
    )
    server = build_server(alone, drain, settings)
    # Who reads that it listens may connect at once.
    listening.listen(BACKLOG)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve_until_stopped(server, listening, url))


def authenticator(settings: Settings) -> Authenticator:
    """Who is let in: everybody, the holders of the given tokens, or of the service's own."""
    from agentcore.kit.security import OpenDoor, TokensOnly
    from agentcore.settings import foreign_tokens, token_authority
    from agentcore.training.openenv.serving.standalone import given_tokens

    if not settings.security.auth:
        return OpenDoor()
    return given_tokens(settings.training.server) or TokensOnly(
        token_authority(settings), foreign_tokens(settings)
    )
