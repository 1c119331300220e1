"""What a server says of itself: /metadata, /schema, /info, /openapi.json."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

from agentcore.kit.errors import said_by
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.training.openenv.environments.base import FAULTS, AnyEnvironment
from agentcore.training.openenv.errors import FactoryFailed
from agentcore.training.openenv.models import EnvironmentInfo
from agentcore.training.openenv.serving.bodies import json_response
from agentcore.training.openenv.serving.slots import Slots

if TYPE_CHECKING:
    from starlette.requests import Request

# Of OpenEnv's HTTP surface, by which its validator names the standard that it checks.
STANDARD_VERSION = "1.0.0"
EVERYWHERE = {
    "/health": ("get", "Whether the server runs"),
    "/ready": ("get", "Whether an environment can be made now, and how many sessions are free"),
    "/metadata": ("get", "Name, description and version of the environment"),
    "/schema": ("get", "JSON Schemas of action, observation and state"),
    "/info": ("get", "All of it in one document"),
    "/render": ("get", "The current image of a session (image/png)"),
    "/mcp": ("post", "OpenEnv's MCP dialect: sessions and tools over JSON-RPC"),
    "/mcp/standard": ("post", "Standard MCP over Streamable HTTP"),
    "/list_environments": ("get", "Names under which task sets are asked for"),
    "/{env_name}/splits": ("get", "Task sets of the environment"),
    "/{env_name}/tasks": ("post", "All tasks of a split"),
    "/{env_name}/num_tasks": ("post", "How many tasks a split has"),
    "/{env_name}/task": ("post", "One task of a split"),
    "/{env_name}/task_range": ("post", "Some tasks of a split"),
}
IN_SIMULATION = {
    "/reset": ("post", "Reset a fresh environment, or the session of ?session_id="),
    "/step": ("post", "One action in a fresh environment, or in the session of ?session_id="),
    "/state": ("get", "State of a fresh environment, or of the session of ?session_id="),
}


class Pages:
    """Asks one environment once, and remembers what it said."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._info: EnvironmentInfo | None = None

    async def info(self) -> EnvironmentInfo:
        if self._info is None:
            described = await self._slots.ask(self._described)
            named = {"name": self._slots.name, "mode": self._slots.config.mode}
            self._info = described.model_copy(update=named)
        return self._info.model_copy(update={"capacity": self._slots.capacity})

    def _described(self, environment: AnyEnvironment) -> EnvironmentInfo:
        try:
            return environment.info()
        except FAULTS as exc:
            detail = f"{self._slots.name} cannot be described: {said_by(exc)}"
            raise FactoryFailed(detail) from exc

    def routes(self) -> list[Route]:
        return [
            Route("/metadata", self.metadata),
            Route("/schema", self.schema),
            Route("/info", self.describe),
            Route("/openapi.json", self.openapi),
        ]

    async def metadata(self, request: Request) -> Response:
        info = await self.info()
        extras = info.model_dump(include={"max_episode_steps", "mode", "capacity", "features"})
        return json_response(
            {
                "name": info.name,
                "description": info.description,
                "readme_content": None,
                "version": info.version,
                "author": None,
                "documentation_url": None,
                "agentcore": extras,
            }
        )

    async def schema(self, request: Request) -> Response:
        info = await self.info()
        spaces: JsonObject = {
            "action": info.action_space,
            "observation": info.observation_space,
            "state": info.state_space,
            "reset_observation": info.observation_space,
        }
        return json_response(spaces)

    async def describe(self, request: Request) -> Response:
        return json_response((await self.info()).model_dump(mode="json"))

    async def openapi(self, request: Request) -> Response:
        info = await self.info()
        routes = EVERYWHERE | (IN_SIMULATION if info.mode == "simulation" else {})
        document: JsonObject = {
            "openapi": "3.1.0",
            "info": {
                "title": info.name,
                "description": info.description,
                "version": STANDARD_VERSION,
            },
            "paths": {path: _operation(path, *told) for path, told in routes.items()},
        }
        return json_response(document)


def _operation(path: str, method: str, summary: str) -> JsonObject:
    responses: JsonObject = {"200": {"description": "Done"}, "422": {"description": "Refused"}}
    operation: JsonObject = {"summary": summary, "responses": responses}
    if "{env_name}" in path:
        named: JsonValue = {
            "name": "env_name",
            "in": "path",
            "required": True,
            "schema": {"type": "string"},
        }
        operation["parameters"] = [named]
    return {method: operation}
