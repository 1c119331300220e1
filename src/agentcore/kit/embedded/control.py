"""A look at a home's servers from outside, and their stop."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from agentcore.kit.errors import Conflict, StartupError

if sys.platform != "win32":
    from agentcore.kit.embedded.layout import Home, startup_errors
    from agentcore.kit.embedded.locks import Patience, raise_lock, try_lock
    from agentcore.kit.embedded.postgres import Postgres
    from agentcore.kit.embedded.unit import State, Unit
    from agentcore.kit.embedded.valkey import Valkey


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """``in_use``: some process has this home open, so the server will not stop by itself."""

    name: str
    state: State
    in_use: bool
    pid: int | None
    url: str

    def __str__(self) -> str:
        if self.state == "stopped":
            return f"{self.name}: stopped"
        use = "in use" if self.in_use else "not in use"
        return f"{self.name}: {self.state}, {use}, pid {self.pid or 'unknown'}, {self.url}"


def status(home: Path) -> tuple[ServerStatus, ...]:
    """Look without starting, creating or waiting for anything; empty when nothing was made yet."""
    if sys.platform == "win32":
        return ()
    place = Home(Path(os.path.realpath(home)))
    if not place.clients.exists():
        return ()
    with startup_errors(f"cannot look into {place.path}"):
        in_use = _in_use(place)
        return tuple(
            ServerStatus(
                name=server.name, state=unit.state(), in_use=in_use, pid=unit.pid(), url=server.url
            )
            for server, unit in _units(place)
        )


def stop(home: Path, *, seconds: float = 90.0) -> None:
    """Stop servers that nobody uses, as after a killed watchdog, and wait for their end.

    Conflict while a process has this home open: it would only start them again.
    """
    if sys.platform == "win32":
        return
    place = Home(Path(os.path.realpath(home)))
    if not place.clients.exists():
        return
    patience = Patience(seconds)
    units = [unit for _, unit in _units(place)]
    with startup_errors(f"cannot stop the servers of {place.path}"):
        # A watchdog that is being killed may look alive once, and be gone at the next look.
        while any(unit.watched() or unit.pid() is not None for unit in units):
            for unit in units:
                unit.watch_orphan(patience)
            if _in_use(place):
                raise Conflict(
                    f"the servers of {place.path} are in use",
                    hint="end the processes that use this home; its servers follow by themselves",
                )
            if not patience.pause():
                raise StartupError(
                    f"the servers of {place.path} did not stop within {seconds:g} s",
                    hint=f"see {place.path / 'logs'}",
                )


def _units(home: Home) -> list[tuple[Postgres | Valkey, Unit]]:
    return [(server, Unit(home, server)) for server in (Postgres(home), Valkey(home))]


def _in_use(home: Home) -> bool:
    """Clients share the file; a watchdog that is stopping its server holds it alone."""
    if (client := try_lock(home.clients, "shared")) is None:
        return False
    try:
        return not raise_lock(client)
    finally:
        os.close(client)
