"""``agentcore ace``: what agents have learned, what is tried beside it, and the way back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated
from urllib.parse import quote

import typer

from agentcore.cli.foreign import shown
from agentcore.cli.options import Asking, asking, segment
from agentcore.cli.tables import cell_text, show_table
from agentcore.kit.errors import InvalidInput
from agentcore.kit.jsonvalue import JsonObject, JsonValue, objects_of

app = typer.Typer(help="Context playbooks and their evolution.", no_args_is_help=True)
Limit = Annotated[int, typer.Option(min=1, max=100_000, help="How many, from the newest on.")]
CHANGED = ("what", "change", "before", "after")
WINS_AT = 20
LONGEST_LINE = 300


@app.command("show")
@asking
def show_playbook(
    ask: Asking,
    agent_id: str,
    task: Annotated[str, typer.Option(help="Choose what fits this task.")] = "",
    budget: Annotated[int, typer.Option(min=16, max=200_000, help="Most tokens.")] = 2000,
) -> None:
    """Print an agent's playbook as its prompts see it."""
    path = f"{_of(agent_id)}/render"
    rendered = ask.service().get(path, task=task, budget=budget)
    if ask.told(rendered):
        return
    text = str(rendered.get("text") or "")
    typer.echo(shown(text, len(text)) if text else "the playbook is empty")


@app.command("evolve")
@asking
def evolve_playbook(
    ask: Asking,
    agent_id: str,
    force: Annotated[bool, typer.Option("--force", help="Also with few new traces.")] = False,
) -> None:
    """Ask for an evolution of an agent's playbook; with few new traces, nothing comes of it."""
    answer = ask.service().post(
        "/internal/context/evolution/trigger", {"agent_id": agent_id, "force": force}
    )
    if ask.told(answer):
        return
    typer.echo(
        f"enqueued at position {answer.get('position')}; `ace status` tells what became of it"
    )


@app.command("status")
@asking
def evolution_status(
    ask: Asking,
    agent_id: str,
) -> None:
    """Show how far an agent's evolution is."""
    path = f"/internal/context/evolution/status/{segment(agent_id)}"
    found = ask.service().get(path)
    if ask.told(found):
        return
    for name, value in found.items():
        typer.echo(f"{name}: {'never' if value is None else shown(cell_text(value))}")


@app.command("history")
@asking
def history(
    ask: Asking,
    agent_id: str,
    limit: Limit = 20,
) -> None:
    """List the versions of a playbook, newest first."""
    found = ask.service().pages(f"{_of(agent_id)}/history", limit)
    if ask.told(found):
        return
    for one in _items(found):
        head = (f"{one.get('result_version'):>6}", one.get("kind"), one.get("generated_at"))
        _echo_entry("  ".join(map(str, head)), one)
    _echo_rest(found, limit)


@app.command("deltas")
@asking
def deltas(
    ask: Asking,
    agent_id: str,
    limit: Limit = 20,
) -> None:
    """List what was proposed, and what was decided about it."""
    found = ask.service().pages(f"{_of(agent_id)}/deltas", limit)
    if ask.told(found):
        return
    for one in _items(found):
        became = f"version {one.get('result_version')}" if one.get("applied") else "not applied"
        sure = f"confidence {_number(one.get('confidence')):.2f}"
        if one.get("calibrated") is not None:
            sure += f", counted as {_number(one.get('calibrated')):.2f}"
        head = (one.get("delta_id"), one.get("kind"), became, one.get("reason"), sure)
        _echo_entry("  ".join(map(str, head)), one)
    _echo_rest(found, limit)


@app.command("diff")
@asking
def diff(
    ask: Asking,
    agent_id: str,
    before: Annotated[int, typer.Argument(min=1, metavar="FROM")],
    after: Annotated[
        int | None, typer.Argument(min=1, metavar="TO", help="Not given: the newest.")
    ] = None,
) -> None:
    """Show what changed from one version of a playbook to another."""
    bounds = {"from": before} if after is None else {"from": before, "to": after}
    found = ask.service().get(f"{_of(agent_id)}/diff", **bounds)
    if ask.told(found):
        return
    rows = [*_changed(found)]
    typer.echo(f"from version {found.get('from_version')} to {found.get('to_version')}")
    if rows:
        show_table(rows, CHANGED)
    else:
        typer.echo("no difference")


@app.command("rollback")
@asking
def rollback(
    ask: Asking,
    agent_id: str,
    version: Annotated[int, typer.Argument(min=1, help="The version whose content comes back.")],
) -> None:
    """Make the content of an earlier version the newest version."""
    done = ask.service().post(f"{_of(agent_id)}/rollback", {"version": version})
    if ask.told(done):
        return
    typer.echo(f"version {done.get('version')} has the content of version {version}")


@app.command("experiment")
@asking
def experiment(
    ask: Asking,
    agent_id: str,
    start: Annotated[str, typer.Option(metavar="DELTA", help="Try this delta first.")] = "",
    stop: Annotated[str, typer.Option(metavar="EXPERIMENT", help="End this one first.")] = "",
    limit: Limit = 10,
) -> None:
    """Show what was tried beside a playbook and how sure is what came of it."""
    if start and stop:
        raise InvalidInput("--start and --stop were given both", hint="give one of them")
    service, path = ask.service(), f"{_of(agent_id)}/experiments"
    if start:
        service.post(path, {"delta_id": start})
    if stop:
        service.post(f"{path}/{quote(stop, safe='')}/stop", {})
    found = service.pages(path, limit)
    if ask.told(found):
        return
    for one in _items(found):
        for line in _tried(one):
            typer.echo(shown(line))
    if not _items(found):
        typer.echo("nothing was tried yet")
        return
    _echo_rest(found, limit)
    typer.echo(
        "Rates are means with 95 % intervals that hold at every look. Evidence of better or "
        f"worse decides at {WINS_AT}."
    )


@app.command("environment")
@asking
def environment(
    ask: Asking,
    agent_id: str,
    name: Annotated[str, typer.Argument(metavar="ENVIRONMENT", help="Bind this one.")] = "",
    none: Annotated[bool, typer.Option("--none", help="Bind none.")] = False,
) -> None:
    """Show or choose the environment in which proposals are tried before they are let in."""
    if name and none:
        raise InvalidInput(f"{name!r} and --none were given both", hint="give one of them")
    service, path = ask.service(), f"{_of(agent_id)}/environment"
    if name:
        service.put(path, {"environment": name})
    if none:
        service.delete(path)
    found = service.get(path)
    if not ask.told(found):
        bound = found.get("environment")
        typer.echo("no environment is bound" if bound is None else shown(str(bound)))


def _of(agent_id: str) -> str:
    return f"/internal/context/playbooks/{segment(agent_id)}"


def _echo_entry(head: str, entry: JsonObject) -> None:
    """A line for what is looked for, and one each for why it was decided so and why proposed."""
    typer.echo(shown(head))
    for why in ("detail", "reasoning"):
        told = " ".join(str(entry.get(why) or "").split())
        if told:
            typer.echo(f"        {shown(told, LONGEST_LINE)}")


def _echo_rest(page: JsonObject, limit: int) -> None:
    if page.get("next_cursor") is not None:
        typer.echo(f"there are older ones: --limit {10 * limit}")


def _items(page: JsonObject) -> list[JsonObject]:
    return objects_of(page.get("items"))


def _changed(found: JsonObject) -> Iterator[JsonObject]:
    for one in objects_of(found.get("owner")):
        sides = {side: _short(one.get(side)) for side in ("before", "after")}
        yield {"what": one.get("key"), "change": one.get("change"), **sides}
    for one in objects_of(found.get("bullets")):
        before, after = _bullet(one.get("before")), _bullet(one.get("after"))
        if before and after and before[0] == after[0]:
            # Nothing but the counts has changed.
            after = ("", after[1])
        sides = {"before": " ".join(before), "after": " ".join(after)}
        yield {"what": one.get("id"), "change": one.get("change"), **sides}


def _bullet(placed: JsonValue) -> tuple[str, ...]:
    """What it says and where, and its counts."""
    if not isinstance(placed, dict) or not isinstance(bullet := placed.get("bullet"), dict):
        return ()
    marks = [
        str(bullet[name]) if name == "status" else name
        for name, usual in (("status", "active"), ("pinned", False))
        if bullet.get(name, usual) != usual
    ]
    said = f"{placed.get('section')}: {bullet.get('text')}"
    return " ".join([said, *marks]), f"(+{bullet.get('helpful')} -{bullet.get('harmful')})"


def _short(value: JsonValue) -> str:
    text = cell_text(value)
    return text if len(text) <= 200 else f"{text[:197]}..."


def _tried(one: JsonObject) -> Iterator[str]:
    """What is known of the canary, and of the hold-out where it came to that."""
    watched = isinstance(one.get("watch"), dict)
    stand = f"ended: {one.get('outcome')}" if one.get("phase") == "ended" else "running"
    yield f"experiment {one.get('experiment_id')}  {stand}"
    yield f"  delta {one.get('delta_id')}"
    environment = one.get("environment")
    by = "canary" if environment is None else f"pairs of episodes in {shown(str(environment))}"
    far = f", {one.get('stage')} % of the tasks" if environment is None else ""
    if one.get("disturbed"):
        yield f"  disturbed, and tried again by itself: {one.get('disturbed')}"
    yield from _compared(f"{by}, better" if watched else f"{by}{far}", one.get("canary"))
    if watched:
        yield from _compared("hold-out", one.get("watch"))


def _compared(title: str, found: JsonValue) -> Iterator[str]:
    if not isinstance(found, dict):
        return
    low, high = _number(found.get("difference_low")), _number(found.get("difference_high"))
    better, worse = _number(found.get("evidence_better")), _number(found.get("evidence_worse"))
    yield f"  {title}"
    yield f"    with it     {_estimate(found.get('with_delta'))}"
    yield f"    without it  {_estimate(found.get('without_delta'))}"
    yield f"    difference  {low:+.2f} to {high:+.2f}"
    yield f"    evidence    better {better:.3g}, worse {worse:.3g}"


def _estimate(found: JsonValue) -> str:
    if not isinstance(found, dict) or found.get("mean") is None:
        return "no outcome yet"
    mean, low, high = (_number(found.get(name)) for name in ("mean", "low", "high"))
    return f"{mean:.2f} ({low:.2f} to {high:.2f}, n={found.get('count')})"


def _number(value: JsonValue) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
