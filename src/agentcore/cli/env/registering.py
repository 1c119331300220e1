"""Finding and registering environments that others publish or run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from agentcore.cli.config import ConfigFile
from agentcore.cli.env.listing import pages, show_environments
from agentcore.cli.env.operations import ROOT, ended
from agentcore.cli.foreign import shown
from agentcore.cli.options import Token, Url
from agentcore.kit.errors import InvalidInput
from agentcore.kit.jsonvalue import JsonObject, JsonValue, list_of, loads, objects_of

WRITES_ONE = "openenv catalog build writes one"
Named = Annotated[str, typer.Argument(metavar="NAME", help="A name, name@revision, or an id.")]


def register(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The name under which callers open it.")
    ],
    address: Annotated[
        str | None, typer.Argument(metavar="[ADDRESS]", help="Base URL of its server.")
    ] = None,
    image: Annotated[str | None, typer.Option(help="Image to deploy it from.")] = None,
    discovered: Annotated[
        str | None,
        typer.Option("--from", help="A discovered environment: its id, source id or name."),
    ] = None,
    version: Annotated[str | None, typer.Option(help="Version, which is its revision.")] = None,
    secret: Annotated[
        str | None,
        typer.Option("--server-token", help="Where the server's token is: env:NAME or file:PATH."),
    ] = None,
    validate: Annotated[
        bool, typer.Option(help="Whether its server must give an episode first.")
    ] = True,
    url: Url = None,
    token: Token = None,
    config: ConfigFile = None,
) -> None:
    """Register an environment, so that callers can open or deploy it by name."""
    from agentcore.cli.client import connect

    given = {
        "url": address,
        "image": image,
        "discovered": discovered,
        "version": version,
        "token": secret,
    }
    body: JsonObject = {key: value for key, value in given.items() if value is not None}
    entry = connect(url, token, config).post(ROOT, {**body, "name": name, "validate": validate})
    typer.echo(shown(f"{name} is registered ({entry.get('status')}): {entry.get('id')}"))


def unregister(
    name: Named, url: Url = None, token: Token = None, config: ConfigFile = None
) -> None:
    """Forget an environment; what is deployed of it goes on."""
    from agentcore.cli.client import connect

    connect(url, token, config).delete(f"{ROOT}/{quote(name, safe='')}")
    typer.echo(f"{name} is not registered any more")


def discover(
    tag: Annotated[
        list[str] | None, typer.Option(help="A tag that it must have; give several times.")
    ] = None,
    author: Annotated[str | None, typer.Option(help="Only environments of this author.")] = None,
    register_all: Annotated[
        bool, typer.Option("--register", help="Register what is found, unseen.")
    ] = False,
    url: Url = None,
    token: Token = None,
    config: ConfigFile = None,
) -> None:
    """Look for environments on the Hub; their servers are not asked."""
    from agentcore.cli.client import connect

    client = connect(url, token, config)
    wanted: list[JsonValue] = [*(tag or [])]
    begun = client.post(
        f"{ROOT}/discover", {"tags": wanted, "author": author, "register": register_all}
    )
    result = ended(client, begun)
    keys = set(map(str, list_of(result.get("found"))))
    lists = [pages(client, ROOT), pages(client, f"{ROOT}/discovered")]
    show_environments([each for listed in lists for each in listed if _key(each) in keys])
    _name_refused(result.get("skipped"))


def import_catalog(
    path: Annotated[
        Path, typer.Argument(metavar="FILE", help="What `openenv catalog build` wrote.")
    ],
    url: Url = None,
    token: Token = None,
    config: ConfigFile = None,
) -> None:
    """Import the environments of a catalog file, as discovered ones."""
    from agentcore.cli.client import connect

    try:
        catalog = loads(path.read_bytes())
    except OSError as exc:
        raise InvalidInput(f"{path} cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise InvalidInput(f"{path} is not JSON: {exc}", hint=WRITES_ONE) from exc
    if not isinstance(catalog, dict):
        raise InvalidInput(f"{path} is not a catalog", hint=WRITES_ONE)
    done = connect(url, token, config).post(f"{ROOT}/import", catalog)
    show_environments(objects_of(done.get("imported")))
    _name_refused(done.get("refused"))


def _key(entry: JsonObject) -> str:
    return f"{entry.get('source')}:{entry.get('source_id')}@{entry.get('revision')}"


def _name_refused(refused: JsonValue) -> None:
    for each in objects_of(refused):
        typer.echo(shown(f"left out: {each.get('path')}: {each.get('detail')}"), err=True)
