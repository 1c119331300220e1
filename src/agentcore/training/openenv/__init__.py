"""OpenEnv: client, servers, registry and the A2A adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentcore.training.openenv.client import OpenEnvClient

__all__ = ["OpenEnvClient"]


def __getattr__(name: str) -> object:
    # Settings read this package's models: they must not load a WebSocket library.
    if name == "OpenEnvClient":
        from agentcore.training.openenv.client import OpenEnvClient  # noqa: PLC0415 -- as above

        return OpenEnvClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
