"""What a home remembers of a local deployment: what is wanted of it, and what its keeper did.

The deployer writes ``wanted.json``, the keeper ``state.json``; each replaces its file whole. Only
the standard library: every keeper loads this.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

CHANGED_NAME = "wanted.json"
STATE_NAME = "state.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """``command`` has ``{port}`` where its port goes; ``folder`` is where it runs."""

    generation: int
    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: str
    replicas: int
    version: str
    drain_seconds: float

    def same_program(self, other: Wanted) -> bool:
        """Whether a replica of one need not be replaced for the other."""
        return (self.command, dict(self.environment), self.folder, self.version) == (
            other.command,
            dict(other.environment),
            other.folder,
            other.version,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaState:
    """``exits`` counts how often it ended without ever serving since; ``detail`` says how.

    ``role`` is "fresh" for the program that is wanted now, "stale" for one that serves until it is
    replaced, "retiring" for one that only finishes its sessions.
    """

    slot: int
    pid: int
    born: str
    role: str
    ready: bool
    exits: int
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """``generation`` is the one that the keeper works toward."""

    port: int
    generation: int
    replicas: tuple[ReplicaState, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Record:
    """The folder of one deployment."""

    folder: Path

    def exists(self) -> bool:
        return self.folder.is_dir()

    def generation(self) -> int:
        """The last that anybody asked for, 0 before the first."""
        return max((each.generation for each in (self.wanted(), self.state()) if each), default=0)

    def wanted(self) -> Wanted | None:
        """None where there is no deployment, or none that can be read."""
        values = _read(self.folder / CHANGED_NAME)
        try:
            values["command"] = tuple(values["command"])
            return Wanted(**values)
        except (KeyError, TypeError):
            return None

    def want(self, wanted: Wanted) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(self.folder / CHANGED_NAME, asdict(wanted))

    def state(self) -> State | None:
        values = _read(self.folder / STATE_NAME)
        try:
            replicas = tuple(ReplicaState(**each) for each in values.pop("replicas"))
            return State(replicas=replicas, **values)
        except (KeyError, TypeError):
            return None

    def note(self, state: State) -> None:
        """The folder must be there: a keeper outlives an undeployed folder only to end."""
        _write(self.folder / STATE_NAME, asdict(state))


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _write(path: Path, values: Mapping[str, object]) -> None:
    """Whole or not at all: readers never see half a file, nor does a crash leave one."""
    draft = path.with_suffix(f".{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(values))
    draft.replace(path)
