"""What can be played."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agentcore.cli.config import ConfigFile
from agentcore.cli.options import Token, Url
from agentcore.cli.tables import show_table
from agentcore.kit.jsonvalue import JsonObject, JsonValue, object_of, objects_of

if TYPE_CHECKING:
    from agentcore.cli.client import ServiceClient

COLUMNS = ("name", "source", "status", "mode", "capacity", "url")
PAGE = 200


def list_environments(
    discovered: Annotated[
        bool, typer.Option("--discovered", help="What was found and is not registered.")
    ] = False,
    url: Url = None,
    token: Token = None,
    config: ConfigFile = None,
) -> None:
    """List the environments that can be opened."""
    from agentcore.cli.client import connect

    path = "/internal/environments" + ("/discovered" if discovered else "")
    show_environments(pages(connect(url, token, config), path))


def pages(client: ServiceClient, path: str) -> list[JsonObject]:
    """All entries of a paged list of environments."""
    entries: list[JsonObject] = []
    cursor: JsonValue = ""
    while isinstance(cursor, str):
        page = client.get(path, limit=PAGE, cursor=cursor)
        entries += objects_of(page.get("environments"))
        cursor = page.get("next_cursor")
    return entries


def show_environments(entries: list[JsonObject]) -> None:
    show_table([row(entry) for entry in entries], COLUMNS)


def row(entry: JsonObject) -> JsonObject:
    """An entry as a line: in short, and with what its last check found."""
    told = object_of(entry.get("info"))
    return {
        **entry,
        "source": _source(entry),
        "mode": entry.get("mode") or told.get("mode"),
        "capacity": _capacity(entry.get("capacity") or told.get("capacity")),
    }


def _source(entry: JsonObject) -> str:
    source, source_id = entry.get("source"), entry.get("source_id")
    own = source_id in {None, entry.get("name")}
    return str(source) if own else f"{source}:{source_id}"


def _capacity(value: JsonValue) -> str:
    return f"{value.get('active')} of {value.get('maximum')}" if isinstance(value, dict) else ""
