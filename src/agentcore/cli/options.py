"""Options that many commands share."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from agentcore.kit.errors import InvalidInput

Url = Annotated[str | None, typer.Option("--url", help="The service, e.g. http://127.0.0.1:8001.")]
Token = Annotated[
    str | None,
    typer.Option("--token", envvar="AGENTCORE_TOKEN", help="A token instead of an own one."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print what the service answers, as JSON.")]


def segment(agent_id: str) -> str:
    """The agent's id in a path; what the service cannot be asked for is refused here."""
    if not agent_id or "/" in agent_id or agent_id in {".", ".."}:
        raise InvalidInput(
            f"no agent can be asked for that is called {agent_id!r}: it could not stand in a URL",
            hint="`agentcore agents list` lists registered agents",
        )
    return quote(agent_id, safe="")
