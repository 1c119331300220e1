"""Agents of the operator's own, found by the names that the settings give them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from agentcore.a2a_protocol.hosting import HostedAgents, Hosting
from agentcore.kit.errors import StartupError


def host(names: Sequence[str], hosted: HostedAgents) -> None:
    """Host what each ``module:NAME`` leads to; the working directory is searched last.

    Raises:
        StartupError: there is no such module or name, it is no ``Hosting``, or its id is taken.
    """
    for name in names:
        hosting = _found(name)
        if hosting.agent_id in hosted:
            raise StartupError(
                f"the agent {name!r} has the id {hosting.agent_id!r}, which another one has",
                hint="give it another agent_id",
            )
        hosted.add(hosting)


def _found(name: str) -> Hosting:
    where, _, what = name.partition(":")
    if not where or not what:
        raise StartupError(
            f"{name!r} names no agent",
            hint="give a module and the name of a Hosting in it, as in shout:SHOUTER",
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        module = import_module(where)
    except ImportError as exc:
        raise StartupError(
            f"the agent {name!r} cannot be imported: {exc}",
            hint="its module has to be installed, or in the working directory",
        ) from exc
    found = getattr(module, what, None)
    if isinstance(found, Hosting):
        return found
    known = [each for each, value in vars(module).items() if isinstance(value, Hosting)]
    why = f"is a {type(found).__name__}" if hasattr(module, what) else "is not there"
    raise StartupError(
        f"the agent {name!r} is no Hosting: {what} {why}",
        hint=f"{where} has: {', '.join(known) or 'none'}; docs/how-to/connect-an-agent.md",
    )
