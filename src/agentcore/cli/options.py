"""Options that many commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Url = Annotated[str | None, typer.Option("--url", help="The service, e.g. http://127.0.0.1:8001.")]
Token = Annotated[
    str | None,
    typer.Option("--token", envvar="AGENTCORE_TOKEN", help="A token instead of an own one."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print what the service answers, as JSON.")]
