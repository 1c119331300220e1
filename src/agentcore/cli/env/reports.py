"""Where the reports of commands go: into a file, or to the output."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentcore.kit.errors import InvalidInput

STDOUT = Path("-")
Json = Annotated[
    Path | None, typer.Option("--json", help="Write the report to this file; - is the output.")
]


def check_writable(*paths: Path | None) -> None:
    """What cannot be written is refused before anything is played for it."""
    for path in paths:
        if path is None or path == STDOUT:
            continue
        if not path.parent.is_dir():
            raise InvalidInput(f"there is no directory {path.parent}")
        if path.is_dir():
            raise InvalidInput(f"{path} is a directory", hint="name a file in it")


def write(content: bytes, path: Path) -> None:
    if path == STDOUT:
        typer.echo(content.decode())
    else:
        path.write_bytes(content + b"\n")
