"""Options that many commands share."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from agentcore.cli.config import ConfigFile
from agentcore.cli.tables import echo_json
from agentcore.kit.errors import InvalidInput
from agentcore.kit.jsonvalue import JsonObject

if TYPE_CHECKING:
    from agentcore.cli.client import ServiceClient


Url = Annotated[str | None, typer.Option("--url", help="The service, e.g. http://127.0.0.1:8001.")]
Token = Annotated[
    str | None,
    typer.Option("--token", envvar="AGENTCORE_TOKEN", help="A token instead of an own one."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print what the service answers, as JSON.")]


@dataclass(frozen=True, slots=True)
class Asking:
    """Which service a command asks, and in which form it tells what it hears."""

    as_json: bool
    url: str | None
    token: str | None
    config: Path | None

    def service(self) -> ServiceClient:
        from agentcore.cli.client import connect

        return connect(self.url, self.token, self.config)

    def told(self, answer: JsonObject) -> bool:
        """Whether the answer was wanted, and is told, as JSON."""
        if self.as_json:
            echo_json(answer)
        return self.as_json


def asking(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options that make its first argument."""
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    shared = inspect.signature(_asked, eval_str=True).parameters

    @wraps(command)
    def asked(**given: Any) -> None:
        ask = _asked(**{name: given.pop(name) for name in shared})
        command(ask, **given)

    every = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]
    every += shared.values()
    asked.__dict__["__signature__"] = inspect.Signature(every)
    asked.__annotations__ = {each.name: each.annotation for each in every}
    return asked


def _asked(
    *, as_json: AsJson = False, url: Url = None, token: Token = None, config: ConfigFile = None
) -> Asking:
    return Asking(as_json, url, token, config)


def segment(agent_id: str) -> str:
    """The agent's id in a path; what the service cannot be asked for is refused here."""
    if not agent_id or "/" in agent_id or agent_id in {".", ".."}:
        raise InvalidInput(
            f"no agent can be asked for that is called {agent_id!r}: it could not stand in a URL",
            hint="`agentcore agents list` lists registered agents",
        )
    return quote(agent_id, safe="")
