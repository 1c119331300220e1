"""``agentcore simulate``: stand-ins that speak a real wire and say that they simulate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agentcore.simulators.models import ClusterConfig

app = typer.Typer(help="Simulators of what cannot run on every machine.", no_args_is_help=True)


@app.callback()
def simulate() -> None:
    """Keep ``cluster`` a subcommand although it is the only one."""


@app.command()
def cluster(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0: a free one.")] = 3001,
    role: Annotated[str, typer.Option(help="scheduler or head.")] = "scheduler",
    model: Annotated[
        str, typer.Option(help="Served model; begins with simulated/.")
    ] = "simulated/playbook-7b",
    nodes: Annotated[int, typer.Option(help="Nodes in the cluster's status.")] = 2,
    capacity: Annotated[int, typer.Option(help="Requests that run at once.")] = 8,
    when_full: Annotated[str, typer.Option(help="queue or reject.")] = "queue",
    latency: Annotated[float, typer.Option(help="Seconds until the first token.")] = 0.02,
    token_latency: Annotated[float, typer.Option(help="Seconds per further token.")] = 0.0005,
    fault: Annotated[
        list[str] | None,
        typer.Option(help="May be repeated: kind, kind:rate or kind,rate=0.1,seconds=5."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of slips, jitter and faults.")] = 0,
) -> None:
    """Run a simulated Parallax cluster with a scripted model."""
    from agentcore.simulators.server import run_cluster

    config = _config(
        {
            "host": host,
            "port": port,
            "role": role,
            "model": model,
            "nodes": nodes,
            "capacity": capacity,
            "when_full": when_full,
            "first_token_seconds": latency,
            "token_seconds": token_latency,
            "seed": seed,
        },
        fault or [],
    )
    run_cluster(config, typer.echo)


def _config(values: dict[str, str | int | float], faults: list[str]) -> ClusterConfig:
    from pydantic import ValidationError

    from agentcore.kit.errors import StartupError
    from agentcore.simulators.models import ClusterConfig, parse_fault

    try:
        return ClusterConfig.model_validate(
            {**values, "faults": tuple(parse_fault(text) for text in faults)}
        )
    except ValidationError as exc:
        wrong = exc.errors(include_url=False)[0]
        name = ".".join(str(step) for step in wrong["loc"])
        raise StartupError(
            f"{name}: {wrong['msg']}, given {wrong['input']!r}",
            hint="agentcore simulate cluster --help",
        ) from exc
    except ValueError as exc:
        raise StartupError(f"--fault: {exc}", hint="docs/reference/simulator.md") from exc
