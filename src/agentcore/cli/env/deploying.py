"""Deploying environments from the command line, to the runtime itself: no service is needed."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentcore.cli.config import ConfigFile
from agentcore.cli.env.deployments import RuntimeDeployments, ServiceDeployments
from agentcore.cli.env.operations import unseen
from agentcore.cli.options import Token
from agentcore.cli.tables import show_table
from agentcore.kit.errors import InvalidInput

if TYPE_CHECKING:
    from agentcore.kit.jsonvalue import JsonObject
    from agentcore.settings import Settings
    from agentcore.training.openenv.specs import (
        DeployedEnvironment,
        EnvironmentSpec,
        Resources,
        ResourceUsage,
    )

INTERRUPTED = 130

Name = Annotated[str, typer.Argument(metavar="NAME", help="The environment that is deployed.")]
Runtime = Annotated[
    str | None, typer.Option("--runtime", help="local, docker or kubernetes; else as configured.")
]
Service = Annotated[
    str | None,
    typer.Option("--url", help="Let this service deploy, also what is registered with it."),
]
Namespace = Annotated[str | None, typer.Option(help="Kubernetes namespace; else as configured.")]


def deploy(
    environment: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A bundled environment; with --image any name; on the local runtime also "
            "package.module:Class or path/to/dir:Class.",
        ),
    ],
    config: ConfigFile = None,
    runtime: Runtime = None,
    replicas: Annotated[int, typer.Option(min=1, max=100, help="Servers that share it.")] = 1,
    cpu: Annotated[str | None, typer.Option(help="Processors per replica, e.g. 500m or 2.")] = None,
    memory: Annotated[str | None, typer.Option(help="Memory per replica, e.g. 512Mi.")] = None,
    gpu: Annotated[int, typer.Option(min=0, help="GPUs per replica.")] = 0,
    image: Annotated[
        str | None, typer.Option(help="Container image; a bundled environment's by default.")
    ] = None,
    namespace: Namespace = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the Kubernetes manifests and do nothing.")
    ] = False,
    wait: Annotated[
        float | None, typer.Option(min=0.1, help="Seconds until it must serve.", show_default=False)
    ] = None,
    url: Service = None,
    token: Token = None,
) -> None:
    """Run an environment's servers, and wait until they serve."""
    settings = _settings(config, {"runtime": runtime, "namespace": namespace, "wait_seconds": wait})
    resources = resources_of(cpu, memory, gpu)
    if url is not None:
        _refuse_beside_url({"--image": image, "--namespace": namespace, "--wait": wait})
        chosen = settings.training.deployment.runtime if runtime is not None else None
        with _started(environment, {"--url": url}), _progress(f"deploying {environment}") as tell:
            service = _service(url, token, config, tell)
            _show(
                service.deploy(environment, replicas=replicas, resources=resources, runtime=chosen)
            )
        return
    spec, references = _spec(environment, image)
    if dry_run:
        typer.echo(_manifests(settings, spec, replicas, resources), nl=False)
        return
    where = {"--runtime": runtime, "--namespace": namespace}
    with _started(spec.name, where), _progress(f"deploying {spec.name}") as tell:
        deployments = _runtime(settings, tell, references)
        deployed = deployments.deploy(spec, replicas=replicas, resources=resources)
    _show(deployed)


def undeploy(
    name: Name,
    config: ConfigFile = None,
    runtime: Runtime = None,
    namespace: Namespace = None,
    url: Service = None,
    token: Token = None,
    forget: Annotated[
        bool,
        typer.Option("--forget", help="With --url: also where the runtime is gone for good."),
    ] = False,
) -> None:
    """Take a deployed environment away."""
    name = bundled_name(name)
    where = {"runtime": runtime, "namespace": namespace}
    with _progress(f"undeploying {name}") as tell:
        _deployments(url, token, config, where, tell).undeploy(name, forget=forget)
    typer.echo(f"{name} is gone")


def status(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only this one.")] = None,
    config: ConfigFile = None,
    runtime: Runtime = None,
    namespace: Namespace = None,
    url: Service = None,
    token: Token = None,
) -> None:
    """Show what is deployed; of one environment also what it uses."""
    where = {"runtime": runtime, "namespace": namespace}
    deployments = _deployments(url, token, config, where, unseen)
    if name is None:
        rows: list[JsonObject] = [{**_row(each)} for each in deployments.listed()]
        if not rows:
            typer.echo("nothing is deployed")
            return
        show_table(rows, ("name", "version", "status", "ready", "url", "detail"))
        return
    name = bundled_name(name)
    usage = deployments.usage(name)
    deployed = next((each for each in deployments.listed() if each.name == name), None)
    if deployed is None:
        raise InvalidInput(f"{name!r} has just been undeployed")
    for label, value in _facts(deployed, usage):
        typer.echo(f"{label}: {value}")
    if deployed.status == "failed":
        raise typer.Exit(1)


def _show(deployed: DeployedEnvironment) -> None:
    typer.echo(
        f"{deployed.name} serves at {deployed.url} ({deployed.ready} of {deployed.replicas} "
        f"replicas, {deployed.runtime})"
    )


def _deployments(
    url: str | None,
    token: str | None,
    config: Path | None,
    where: Mapping[str, str | float | None],
    tell: Callable[[str], None],
) -> RuntimeDeployments | ServiceDeployments:
    if url is not None:
        return _service(url, token, config, tell)
    return _runtime(_settings(config, where), tell, {})


def _service(
    url: str, token: str | None, config: Path | None, tell: Callable[[str], None]
) -> ServiceDeployments:
    from agentcore.cli.client import connect

    return ServiceDeployments(connect(url, token, config), tell)


def _refuse_beside_url(given: dict[str, object]) -> None:
    for option, value in given.items():
        if value is not None:
            raise InvalidInput(
                f"{option} does not go with --url",
                hint="the service deploys what is registered with it, by its own settings",
            )


def bundled_name(name: str) -> str:
    """A hyphen in a bundled environment's name stands for an underscore as well."""
    from agentcore.training.openenv.environments.catalog import BUNDLED

    plain = name.replace("-", "_")
    return plain if plain in BUNDLED else name


def resources_of(cpu: str | None, memory: str | None, gpu: int) -> Resources:
    """What is asked for, with limits that are never below it."""
    from agentcore.training.openenv.runtimes.quantities import amount
    from agentcore.training.openenv.specs import Resources

    for given in (cpu, memory):
        if given:
            amount(given)
    usual = Resources()
    asked = Resources(cpu=cpu or usual.cpu, memory=memory or usual.memory, gpu=gpu)
    limits = {
        "cpu_limit": max(asked.cpu, usual.cpu_limit, key=amount),
        "memory_limit": max(asked.memory, usual.memory_limit, key=amount),
    }
    return asked.model_copy(update=limits)


def _spec(environment: str, image: str | None) -> tuple[EnvironmentSpec, dict[str, str]]:
    """What is to be deployed, and what ``env serve`` takes for it where that is not its name."""
    from agentcore.training.openenv.environments.catalog import BUNDLED, bundled_spec
    from agentcore.training.openenv.environments.loading import load_environment
    from agentcore.training.openenv.specs import EnvironmentSpec

    name = bundled_name(environment)
    if name in BUNDLED:
        return bundled_spec(BUNDLED[name]()).model_copy(update={"image": image}), {}
    if ":" in environment:
        own, factory = load_environment(environment)
        spec = bundled_spec(factory()).model_copy(update={"source": "manual", "image": image})
        return spec, {own: environment}
    if image is None:
        raise InvalidInput(
            f"there is no environment {environment!r}",
            hint=f"bundled are {', '.join(sorted(BUNDLED))}; else give --image",
        )
    # Its name is judged by the runtime, in words: the model would refuse it in its own.
    spec = EnvironmentSpec(name="unnamed", image=image, version=_tag(image))
    return spec.model_copy(update={"name": name}), {}


def _tag(image: str) -> str:
    return image.rpartition("/")[2].partition("@")[0].partition(":")[2]


def _settings(config: Path | None, given: Mapping[str, str | float | None]) -> Settings:
    from agentcore.cli.config import command_settings

    prefix = "training.deployment"
    return command_settings(
        config, {f"{prefix}.{name}": value for name, value in given.items() if value is not None}
    )


def _runtime(
    settings: Settings, tell: Callable[[str], None], references: dict[str, str]
) -> RuntimeDeployments:
    from agentcore.kit.clock import SYSTEM_CLOCK
    from agentcore.settings import server_variables, signing_secret
    from agentcore.training.openenv.deployment import Surroundings, open_runtime

    around = Surroundings(
        home=settings.home,
        secret=signing_secret(settings),
        clock=SYSTEM_CLOCK,
        progress=tell,
        variables=server_variables(settings),
        references=references,
    )
    config = settings.training.deployment
    return RuntimeDeployments(open_runtime(config.runtime, config, around))


def _manifests(
    settings: Settings, spec: EnvironmentSpec, replicas: int, resources: Resources
) -> str:
    from agentcore.training.openenv.runtimes.manifests import (
        SECRET_KEY,
        environment_objects,
        yaml_documents,
    )
    from agentcore.training.openenv.runtimes.naming import object_name

    config = settings.training.deployment
    objects = environment_objects(spec, config, replicas=replicas, resources=resources)
    needs = f"# Also needed: the Secret {object_name(spec.name)} with the key {SECRET_KEY}.\n"
    return (needs if spec.source == "bundled" else "") + yaml_documents(objects)


def _facts(deployed: DeployedEnvironment, usage: ResourceUsage | None) -> Iterator[tuple[str, str]]:
    for label, value in _row(deployed).items():
        if value:
            yield label, value
    yield "runtime", deployed.runtime
    if usage is not None:
        yield "processors", f"{usage.cpu_usage:.2f}"
        yield "memory", f"{usage.memory_usage / 2**20:.0f} MiB"


def _row(deployed: DeployedEnvironment) -> dict[str, str]:
    return {
        "name": deployed.name,
        "version": deployed.version,
        "status": deployed.status,
        "ready": f"{deployed.ready} of {deployed.replicas}",
        "url": deployed.url,
        "detail": deployed.detail,
    }


@contextmanager
def _progress(what: str) -> Iterator[Callable[[str], None]]:
    """On a terminal one line that changes, on stderr; elsewhere silence."""
    from rich.console import Console

    with Console(file=sys.stderr).status(what) as shown:
        yield lambda line: shown.update(f"{what}: {line}")


@contextmanager
def _started(name: str, where: dict[str, str | None]) -> Iterator[None]:
    """Ctrl-C ends only the waiting: what has been started goes on, which has to be said."""
    try:
        yield
    except KeyboardInterrupt:
        words = [name, *(word for pair in where.items() if pair[1] for word in pair if word)]
        ending = f"agentcore env undeploy {shlex.join(words)}"
        typer.echo(f"still starting; `{ending}` ends it", err=True)
        raise typer.Exit(INTERRUPTED) from None
