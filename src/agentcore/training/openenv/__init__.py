"""OpenEnv: client, servers, registry and the A2A adapter."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentcore.training.openenv.client import OpenEnvClient

__all__ = ["OpenEnvClient"]


def __getattr__(name: str) -> object:
    if name == "OpenEnvClient":
        # Settings read this package's models, and must not load a WebSocket library for it.
        return import_module("agentcore.training.openenv.client").OpenEnvClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
