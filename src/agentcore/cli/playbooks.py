"""``agentcore ace``: what agents have learned, what is tried beside it, and the way back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated
from urllib.parse import quote

import typer

from agentcore.cli.config import ConfigFile
from agentcore.cli.options import Token, Url
from agentcore.cli.tables import cell_text, show_table
from agentcore.kit.errors import InvalidInput
from agentcore.kit.jsonvalue import JsonObject, JsonValue, objects_of

app = typer.Typer(help="Context playbooks and their evolution.", no_args_is_help=True)
Limit = Annotated[int, typer.Option(min=1, max=200, help="How many, from the newest on.")]
CHANGED = ("what", "change", "before", "after")
TRIED = ("experiment", "delta", "seen by", "with it", "without it", "difference", "better", "worse")
WINS_AT = 20


@app.command("show")
def show_playbook(
    agent_id: str,
    task: Annotated[str, typer.Option(help="Choose what fits this task.")] = "",
    url: Url = None,
    token: Token = None,
    config: ConfigFile = None,
) -> None:
    """Print an agent's playbook as its prompts see it."""
    from agentcore.cli.client import connect

    rendered = connect(url, token, config).get(f"{_of(agent_id)}/render", task=task)
    typer.echo(rendered.get("text"))


@app.command("evolve")
def evolve_playbook(
    agent_id: str,
    force: Annotated[bool, typer.Option(help="Also with few traces.")] = False,
    url: Url = None,
    token: Token = None,
    config: ConfigFile = None,
) -> None:
    """Ask for an evolution of an agent's playbook."""
    from agentcore.cli.client import connect

    answer = connect(url, token, config).post(
        "/internal/context/evolution/trigger", {"agent_id": agent_id, "force": force}
    )
    typer.echo(f"enqueued at position {answer.get('position')}")


@app.command("status")
def evolution_status(
    agent_id: str, url: Url = None, token: Token = None, config: ConfigFile = None
) -> None:
    """Show how far an agent's evolution is."""
    from agentcore.cli.client import connect

    path = f"/internal/context/evolution/status/{quote(agent_id, safe='')}"
    for name, value in connect(url, token, config).get(path).items():
        typer.echo(f"{name}: {cell_text(value)}")


@app.command("history")
def history(
    agent_id: str,
    limit: Limit = 20,
    url: Url = None,
    token: Token = None,
    config: ConfigFile = None,
) -> None:
    """List the versions of a playbook, newest first."""
    from agentcore.cli.client import connect

    found = connect(url, token, config).get(f"{_of(agent_id)}/history", limit=limit)
    rows = [{**item, "version": item.get("result_version")} for item in _items(found)]
    show_table(rows, ("version", "kind", "generated_at", "reasoning"))


@app.command("deltas")
def deltas(
    agent_id: str,
    limit: Limit = 20,
    url: Url = None,
    token: Token = None,
    config: ConfigFile = None,
) -> None:
    """List what was proposed, and what was decided about it."""
    from agentcore.cli.client import connect

    found = connect(url, token, config).get(f"{_of(agent_id)}/deltas", limit=limit)
    show_table(_items(found), ("delta_id", "kind", "applied", "reason", "confidence", "reasoning"))


@app.command("diff")
def diff(
    agent_id: str,
    before: Annotated[int, typer.Argument(min=1, metavar="FROM")],
    after: Annotated[
        int | None, typer.Argument(min=1, metavar="[TO]", help="Not given: the newest.")
    ] = None,
    url: Url = None,
    token: Token = None,
    config: ConfigFile = None,
) -> None:
    """Show what changed from one version of a playbook to another."""
    from agentcore.cli.client import connect

    bounds = {"from": before} if after is None else {"from": before, "to": after}
    found = connect(url, token, config).get(f"{_of(agent_id)}/diff", **bounds)
    rows = [*_changed(found)]
    typer.echo(f"from version {found.get('from_version')} to {found.get('to_version')}")
    if rows:
        show_table(rows, CHANGED)
    else:
        typer.echo("no difference")


@app.command("rollback")
def rollback(
    agent_id: str,
    version: Annotated[int, typer.Argument(min=1, help="The version whose content comes back.")],
    url: Url = None,
    token: Token = None,
    config: ConfigFile = None,
) -> None:
    """Make the content of an earlier version the newest version."""
    from agentcore.cli.client import connect

    done = connect(url, token, config).post(f"{_of(agent_id)}/rollback", {"version": version})
    typer.echo(f"version {done.get('version')} has the content of version {version}")


@app.command("experiment")
def experiment(
    agent_id: str,
    start: Annotated[str, typer.Option(metavar="DELTA", help="Try this delta first.")] = "",
    stop: Annotated[str, typer.Option(metavar="EXPERIMENT", help="End this one first.")] = "",
    limit: Limit = 10,
    url: Url = None,
    token: Token = None,
    config: ConfigFile = None,
) -> None:
    """Show what was tried beside a playbook and how sure is what came of it."""
    from agentcore.cli.client import connect

    if start and stop:
        raise InvalidInput("--start and --stop were given both", hint="give one of them")
    service, path = connect(url, token, config), f"{_of(agent_id)}/experiments"
    if start:
        service.post(path, {"delta_id": start})
    if stop:
        service.post(f"{path}/{quote(stop, safe='')}/stop", {})
    rows = [row for one in _items(service.get(path, limit=limit)) for row in _tried(one)]
    if not rows:
        typer.echo("nothing was tried yet")
        return
    show_table(rows, TRIED)
    typer.echo(
        "Rates are means with 95 % intervals that hold at every look. Evidence of better or "
        f"worse decides at {WINS_AT}."
    )


def _of(agent_id: str) -> str:
    return f"/internal/context/playbooks/{quote(agent_id, safe='')}"


def _items(page: JsonObject) -> list[JsonObject]:
    return objects_of(page.get("items"))


def _changed(found: JsonObject) -> Iterator[JsonObject]:
    for one in objects_of(found.get("owner")):
        sides = {side: _short(one.get(side)) for side in ("before", "after")}
        yield {"what": one.get("key"), "change": one.get("change"), **sides}
    for one in objects_of(found.get("bullets")):
        sides = {side: _bullet(one.get(side)) for side in ("before", "after")}
        yield {"what": one.get("id"), "change": one.get("change"), **sides}


def _bullet(placed: JsonValue) -> str:
    if not isinstance(placed, dict) or not isinstance(bullet := placed.get("bullet"), dict):
        return ""
    counts = f"+{bullet.get('helpful')} -{bullet.get('harmful')}"
    return f"{placed.get('section')}: {bullet.get('text')} ({counts})"


def _short(value: JsonValue) -> str:
    text = cell_text(value)
    return text if len(text) <= 200 else f"{text[:197]}..."


def _tried(one: JsonObject) -> Iterator[JsonObject]:
    """A line for the canary, and one for the hold-out where it came to that."""
    ended = f": {one.get('outcome')}" if one.get("phase") == "ended" else ""
    watched = isinstance(one.get("watch"), dict)
    named = {"experiment": one.get("experiment_id"), "delta": one.get("delta_id")}
    stage = "canary: better" if watched else f"{one.get('stage')} %{ended}"
    yield {**named, "seen by": stage, **_compared(one.get("canary"))}
    if watched:
        yield {"seen by": f"90 %{ended}", **_compared(one.get("watch"))}


def _compared(found: JsonValue) -> JsonObject:
    if not isinstance(found, dict):
        return {}
    low, high = _number(found.get("difference_low")), _number(found.get("difference_high"))
    return {
        "with it": _estimate(found.get("with_delta")),
        "without it": _estimate(found.get("without_delta")),
        "difference": f"{low:+.2f} to {high:+.2f}",
        "better": f"{_number(found.get('evidence_better')):.3g}",
        "worse": f"{_number(found.get('evidence_worse')):.3g}",
    }


def _estimate(found: JsonValue) -> str:
    if not isinstance(found, dict) or found.get("mean") is None:
        return "no outcome yet"
    mean, low, high = (_number(found.get(name)) for name in ("mean", "low", "high"))
    return f"{mean:.2f} ({low:.2f} to {high:.2f}, n={found.get('count')})"


def _number(value: JsonValue) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
