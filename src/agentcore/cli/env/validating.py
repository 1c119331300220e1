"""``agentcore env validate``: the conformance suite against a server."""

from __future__ import annotations

import asyncio
import secrets
import shlex
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentcore.cli.env.reports import STDOUT, Json, check_writable
from agentcore.cli.foreign import shown
from agentcore.kit.errors import AgentCoreError, InvalidInput
from agentcore.kit.jsonvalue import JsonObject, JsonValue, loads

if TYPE_CHECKING:
    from agentcore.training.openenv.conformance.judging import Check
    from agentcore.training.openenv.conformance.models import Plan, Report

UNUSABLE = 2
SUCH_AS = 'such as {"type": "guess", "parameters": {"number": 1}}'
# Of an environment that is served for the time of the checks: enough to be full quickly.
OWN_SESSIONS = 4
Target = Annotated[
    str,
    typer.Argument(
        metavar="URL|NAME",
        help="A server, or an environment that is served for the time of the checks: "
        "bundled, package.module:Class, or path/to/dir:Class.",
    ),
]
# Not from AGENTCORE_TOKEN, which is for our own service: the server is anybody's.
Token = Annotated[str, typer.Option("--token", help="Bearer token for the server.")]
AgentToken = Annotated[str, typer.Option(help="A token that may act and must not reset.")]
Only = Annotated[
    list[str] | None, typer.Option(metavar="ID", help="Run this check; may be repeated.")
]
GivenActions = Annotated[
    list[str] | None,
    typer.Option(metavar="JSON", help="Play this action, not sampled ones; may be repeated."),
]
FiledActions = Annotated[
    Path | None, typer.Option(help="Play the actions of this file: a JSON array, or JSON lines.")
]
Sessions = Annotated[
    int | None, typer.Option(min=1, help="The server's limit of sessions, if it tells none.")
]


def validate(
    target: Target,
    token: Token = "",
    agent_token: AgentToken = "",
    json: Json = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of episodes and sampled actions.")] = 7,
    only: Only = None,
    action: GivenActions = None,
    actions: FiledActions = None,
    sessions: Sessions = None,
    most_sessions: Annotated[
        int, typer.Option(min=1, help="Never have more sessions open than this.")
    ] = 16,
    deadline: Annotated[float, typer.Option(min=1.0, help="Seconds for all checks.")] = 300.0,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail as well.")] = False,
) -> None:
    """Check a server from outside: exit 0 passed, 1 failed, 2 not to be checked."""
    from agentcore.cli.env.verdicts import show_report, write_report
    from agentcore.training.openenv.conformance.models import Plan
    from agentcore.training.openenv.conformance.suite import chosen

    try:
        check_writable(json)
        plan = Plan(
            url=target,
            token=token or None,
            agent_token=agent_token or None,
            seed=seed,
            actions=(*_given(action or []), *_filed(actions)),
            sessions=sessions,
            most_sessions=most_sessions,
            deadline_seconds=deadline,
        )
        checks = chosen([name for each in only or [] for name in each.split(",")])
        report = asyncio.run(_run(target, plan, checks))
    except AgentCoreError as error:
        hint = f"\n  hint: {shown(error.hint)}" if error.hint else ""
        typer.echo(f"agentcore: {shown(error.detail)}{hint}", err=True)
        raise typer.Exit(UNUSABLE) from error
    # What goes to the output is for a program: the tables go beside it.
    again = _again(target, plan, action or [], actions)
    show_report(report, again, strict=strict, to_errors=json == STDOUT)
    if json is not None:
        write_report(report, json)
    failed = not report.passed or (strict and report.counts["warn"] > 0)
    raise typer.Exit(1 if failed else 0)


async def _run(target: str, plan: Plan, checks: Sequence[Check]) -> Report:
    from agentcore.cli.env.verdicts import watching
    from agentcore.training.openenv.conformance.suite import run_checks

    async with _reached(target, plan) as reached:
        with watching(len(checks)) as watch:
            return await run_checks(reached, checks, watch)


def _again(target: str, plan: Plan, given: Sequence[str], filed: Path | None) -> str:
    """The same command, without what is secret."""
    words = ["agentcore", "env", "validate", target]
    words += ["--token", "..."] * (plan.token is not None)
    words += ["--agent-token", "..."] * (plan.agent_token is not None)
    words += [] if plan.sessions is None else ["--sessions", str(plan.sessions)]
    for text in given:
        words += ["--action", text]
    words += [] if filed is None else ["--actions", str(filed)]
    return shlex.join(words)


@asynccontextmanager
async def _reached(target: str, plan: Plan) -> AsyncIterator[Plan]:
    """The plan for the URL, or for an environment that this process serves behind a door."""
    if "://" in target:
        yield plan
        return
    from agentcore.cli.env.loopback import served_on_loopback
    from agentcore.kit.drain import Drain
    from agentcore.training.openenv.environments.loading import load_environment
    from agentcore.training.openenv.models import EnvironmentServerConfig
    from agentcore.training.openenv.server import EnvironmentServer
    from agentcore.training.openenv.serving.standalone import given_tokens, standalone_app

    name, factory = load_environment(target)
    token = plan.token or secrets.token_urlsafe()
    agent_token = plan.agent_token or secrets.token_urlsafe()
    config = EnvironmentServerConfig.model_validate(
        {"max_sessions": OWN_SESSIONS, "token": token, "agent_token": agent_token}
    )
    door = given_tokens(config)
    app = EnvironmentServer(name, factory, config=config)
    guarded = app if door is None else standalone_app(app, door, Drain())
    with _quiet():
        async with served_on_loopback(guarded, log_level="critical") as url:
            yield replace(plan, url=url, token=token, agent_token=agent_token)


@contextmanager
def _quiet() -> Iterator[None]:
    """What the served environment logs is what the checks provoke: the report tells it better."""
    import structlog

    usual = structlog.get_config()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    try:
        yield
    finally:
        structlog.configure(**usual)


def _given(texts: Sequence[str]) -> list[JsonObject]:
    return [_action(text, "--action") for text in texts]


def _filed(path: Path | None) -> list[JsonObject]:
    if path is None:
        return []
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise InvalidInput(f"{path} cannot be read: {exc.strerror}") from exc
    try:
        whole = loads(content)
    except ValueError:
        lines = content.decode("utf-8", "replace").splitlines()
        return [_action(line, str(path)) for line in lines if line.strip()]
    listed: list[JsonValue] = whole if isinstance(whole, list) else [whole]
    if not listed:
        raise InvalidInput(f"{path} holds no action")
    return [_object(each, str(path)) for each in listed]


def _action(text: str, where: str) -> JsonObject:
    try:
        return _object(loads(text), where)
    except ValueError as exc:
        raise InvalidInput(f"{where}: {text[:80]} is no JSON: {exc}", hint=SUCH_AS) from exc


def _object(value: JsonValue, where: str) -> JsonObject:
    if not isinstance(value, dict):
        raise InvalidInput(f"{where}: an action is a JSON object", hint=SUCH_AS)
    return value
