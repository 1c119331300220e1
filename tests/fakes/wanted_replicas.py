"""Deployments of this machine whose replicas are the environment program."""

from __future__ import annotations

import sys

from agentcore.training.openenv.runtimes.records import Wanted
from tests.fakes import environment_program


def wanted_of(behaviour: str) -> Wanted:
    """One replica that behaves so."""
    program = (sys.executable, "-I", "-S", environment_program.__file__, behaviour, "{port}")
    return Wanted(
        generation=1,
        command=program,
        environment={},
        folder="/",
        replicas=1,
        version="",
        drain_seconds=0,
    )
