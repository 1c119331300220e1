"""Requests of tests wait for their answers: a machine that is busy is slow, not wrong."""

from __future__ import annotations

import inspect
from typing import Any


def have_patience(client: Any) -> None:
    """The five seconds that httpx and httpx2 wait where nobody says for how long become sixty."""
    default = inspect.signature(client).parameters["timeout"].default
    default.connect = default.read = default.write = default.pool = 60.0
