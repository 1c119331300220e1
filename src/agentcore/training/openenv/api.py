"""GET /internal/environments: what can be opened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query

from agentcore.training.openenv.models import EnvironmentEntry, EnvironmentPage
from agentcore.training.openenv.sessions import EnvironmentSessions

EXAMPLE = {
    "name": "guess_number",
    "source": "bundled",
    "url": None,
    "info": {
        "name": "guess_number",
        "version": "1.0.0",
        "description": "Find a number from 1 to 100 by its hints.",
        "observation_space": {"type": "object"},
        "action_space": {"title": "GuessNumberAction", "type": "object"},
        "max_episode_steps": 10,
        "mode": "simulation",
    },
}


def router(sessions: Callable[[], EnvironmentSessions]) -> APIRouter:
    routes = APIRouter(prefix="/internal/environments", tags=["environments"])

    @routes.get(
        "",
        summary="List environments",
        responses={
            200: {
                "content": {
                    "application/json": {
                        "example": {"environments": [EXAMPLE], "next_cursor": None}
                    }
                }
            }
        },
    )
    async def list_environments(
        limit: Annotated[int, Query(ge=1, le=200, description="Most entries of one page.")] = 50,
        cursor: Annotated[str, Query(description="`next_cursor` of the page before.")] = "",
    ) -> EnvironmentPage:
        """Bundled and configured remote environments by name; no remote server is asked."""
        rest = [entry for entry in sessions().environments() if entry.name > cursor]
        more = len(rest) > limit
        shown = tuple(rest[:limit])
        return EnvironmentPage(environments=shown, next_cursor=shown[-1].name if more else None)

    @routes.get(
        "/{name}",
        summary="Describe an environment",
        responses={
            200: {"content": {"application/json": {"example": EXAMPLE}}},
            404: {"description": "No such environment."},
            502: {"description": "The remote server answers, but not as OpenEnv does."},
            503: {"description": "The remote server cannot be reached."},
        },
    )
    async def describe_environment(name: str) -> EnvironmentEntry:
        """One environment with its spaces; the server of a remote one is asked."""
        return await sessions().environment(name)

    return routes
