"""``agentcore agents``: who is registered, who can do what, and who is to rest."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from agentcore.cli.foreign import shown
from agentcore.cli.options import Asking, asking, segment
from agentcore.cli.tables import cell_text, show_table
from agentcore.kit.errors import InvalidInput
from agentcore.kit.jsonvalue import JsonObject, JsonValue, loads, object_of, objects_of

app = typer.Typer(help="Registered agents and their states.", no_args_is_help=True)
AT = "/internal/agents"
PAGE = 100
# Of a moment, up to its seconds.
SECONDS = 19
COLUMNS = ("agent_id", "name", "status", "health", "capabilities", "at")
FOUND = ("agent_id", "score", *COLUMNS[1:])
Limit = Annotated[int, typer.Option(min=1, max=100_000, help="How many.")]
Reason = Annotated[str, typer.Option(help="Why; it is kept in the agent's log.")]
Names = Annotated[list[str] | None, typer.Option(help="May be given several times.")]


class Status(StrEnum):
    REGISTERED = "registered"
    ACTIVE = "active"
    DRAINING = "draining"
    SUSPENDED = "suspended"
    TERMINATED = "terminated"


@app.command("list")
@asking
def list_agents(
    ask: Asking,
    status: Annotated[Status | None, typer.Option(help="Only those in this state.")] = None,
    limit: Limit = 50,
) -> None:
    """List the agents of your tenant, newest first, terminated ones included."""
    from agentcore.cli.client import gathered

    service = ask.service()

    def page(size: int, cursor: str | None) -> JsonObject:
        asked: dict[str, str | int] = {"limit": size}
        asked |= {} if cursor is None else {"cursor": cursor}
        return service.get(AT, **asked, **({} if status is None else {"status": status.value}))

    _show_list(gathered(page, limit, key="agents", most=PAGE), COLUMNS, ask)


@app.command("discover")
@asking
def discover(
    ask: Asking,
    text: Annotated[str, typer.Argument(help="Words to look for.")] = "",
    capability: Names = None,
    skill: Names = None,
    tag: Names = None,
    unhealthy: Annotated[
        bool, typer.Option("--unhealthy", help="Also those that do not answer.")
    ] = False,
    limit: Limit = 20,
) -> None:
    """Find active agents, best match first; of each kind that is given, one has to fit."""
    from agentcore.cli.client import gathered

    service = ask.service()
    wish: JsonObject = {
        "capabilities": [*(capability or ())],
        "skills": [*(skill or ())],
        "tags": [*(tag or ())],
        "text": text,
        "include_unhealthy": unhealthy,
    }

    def page(size: int, cursor: str | None) -> JsonObject:
        return service.post(f"{AT}/discover", {**wish, "limit": size, "cursor": cursor})

    _show_list(gathered(page, limit, key="agents", most=PAGE), FOUND, ask)


@app.command("show")
@asking
def show(
    ask: Asking,
    agent_id: str,
) -> None:
    """Show all that is known of an agent, and what has happened to it."""
    found = ask.service().get(f"{AT}/{segment(agent_id)}")
    if ask.told(found):
        return
    for name, value in found.items():
        if name not in {"events", "card", "skills"} and value not in (None, "", [], {}):
            typer.echo(f"{name}: {shown(_at(value) or cell_text(value))}")
    for skill in objects_of(found.get("skills")):
        typer.echo(shown(f"skill {cell_text(skill.get('id'))}: {cell_text(skill.get('tags'))}"))
    events = objects_of(found.get("events"))
    if events:
        told = [{**each, "at": cell_text(each.get("at"))[:SECONDS]} for each in events]
        show_table(told, ("at", "what", "before", "by", "reason"))


@app.command("register")
@asking
def register(
    ask: Asking,
    card: Annotated[
        str, typer.Argument(help="The card's address, a file with the card, or - for the input.")
    ],
    agent_id: Annotated[str | None, typer.Option("--id", help="Else one is made.")] = None,
    heartbeat: Annotated[
        float | None,
        typer.Option(help="Seconds without a heartbeat after which it counts as silent."),
    ] = None,
    idle: Annotated[bool, typer.Option("--idle", help="It waits until it is resumed.")] = False,
) -> None:
    """Register an agent; again, to change its card. A card at an address is followed."""
    asked: JsonObject = {"active": not idle, **_card(card)}
    if agent_id is not None:
        asked["agent_id"] = agent_id
    if heartbeat is not None:
        asked["heartbeat_seconds"] = heartbeat
    _tell(ask.service().post(AT, asked), ask)


def _add_move(name: str, about: str) -> None:
    @asking
    def move(ask: Asking, agent_id: str, reason: Reason = "") -> None:
        path = f"{AT}/{segment(agent_id)}/{name}"
        _tell(ask.service().post(path, {"reason": reason}), ask)

    app.command(name, help=about)(move)


for _name, _about in {
    "resume": "Let an agent take tasks, again or for the first time.",
    "drain": "Let an agent end its tasks and take no new ones; then it is suspended by itself.",
    "suspend": "Let an agent take nothing more until it is resumed; what runs is not cancelled.",
    "terminate": "Take an agent out of service; its owner may register it again.",
}.items():
    _add_move(_name, _about)


@app.command("erase")
@asking
def erase(ask: Asking, agent_id: str) -> None:
    """Remove a terminated agent for good, with its log, its playbook and its traces."""
    ask.service().delete(f"{AT}/{segment(agent_id)}")
    _tell({"agent_id": agent_id, "status": "erased"}, ask)


def _card(given: str) -> JsonObject:
    if given.startswith(("http://", "https://")):
        return {"card_url": given}
    text = sys.stdin.read() if given == "-" else Path(given).read_text(encoding="utf-8")
    try:
        card = loads(text)
    except ValueError as exc:
        raise InvalidInput(f"{given} is not JSON: {exc}", hint="give an agent card") from exc
    return {"agent_card": card}


def _tell(agent: JsonObject, ask: Asking) -> None:
    if ask.told(agent):
        return
    told = (agent.get("agent_id"), agent.get("status"), agent.get("health"))
    typer.echo(shown("  ".join(map(cell_text, told))))


def _show_list(found: JsonObject, columns: tuple[str, ...], ask: Asking) -> None:
    if ask.told(found):
        return
    agents = objects_of(found.get("agents"))
    if not agents:
        typer.echo("no agent")
        return
    show_table([{**each, "at": _at(each.get("endpoint"))} for each in agents], columns)
    if found.get("next_cursor") is not None:
        typer.echo(f"there are more: --limit {10 * len(agents)}")


def _at(endpoint: JsonValue) -> str:
    """The address in an endpoint."""
    return cell_text(object_of(endpoint).get("url"))
