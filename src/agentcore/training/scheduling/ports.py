"""What the scheduler needs of others."""

from __future__ import annotations

from typing import Protocol

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.models import JobSpec
from agentcore.training.openenv.models import EnvironmentInfo
from agentcore.training.openenv.playing import OpenSession


class EnvironmentSource(Protocol):
    """Environments by the names under which callers open them."""

    async def info(self, name: str) -> EnvironmentInfo:
        """What it is; raises ``EnvironmentNotFoundError``."""

    async def sessions(self, name: str, count: int) -> OpenSession:
        """``count`` sessions of it, numbered from 0 and not yet connected."""


class JobRunner(Protocol):
    async def check(self, job: JobSpec) -> None:
        """Raise what is wrong with a job before it is accepted."""

    async def run(self, job: JobSpec) -> JsonObject:
        """Run it and return its result; may be called again for a job that was cut off."""
