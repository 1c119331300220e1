"""OpenEnv's task API: the tasks that an environment declares, by split and index."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from anyio import to_thread
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response
from starlette.routing import Route

from agentcore.kit.errors import NotFound
from agentcore.kit.jsonvalue import JsonObject, JsonValue, dumps
from agentcore.training.openenv.environments.base import AnyEnvironment
from agentcore.training.openenv.errors import InvalidTask, TaskSetsMissing
from agentcore.training.openenv.serving.bodies import json_body, json_response
from agentcore.training.openenv.serving.hosting import checked
from agentcore.training.openenv.serving.slots import Slots

if TYPE_CHECKING:
    from starlette.requests import Request

# Splits of these names are of the type that they are named after.
TYPES = frozenset({"train", "validation", "test"})


class OfSplit(BaseModel):
    model_config = ConfigDict(extra="forbid")

    split: str


class OneTask(OfSplit):
    index: int


class SomeTasks(OfSplit):
    """``stop`` is exclusive; either may be left out."""

    start: int | None = None
    stop: int | None = None


class TaskSets:
    """The routes below ``/{env}``; each asks a fresh environment, as upstream does."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots

    def routes(self) -> list[Route]:
        return [
            Route("/list_environments", self.environments),
            Route("/{env_name}/splits", self.splits),
            Route("/{env_name}/tasks", self.tasks, methods=["POST"]),
            Route("/{env_name}/num_tasks", self.number, methods=["POST"]),
            Route("/{env_name}/task", self.task, methods=["POST"]),
            Route("/{env_name}/task_range", self.range, methods=["POST"]),
        ]

    async def environments(self, request: Request) -> Response:
        return json_response([self._slots.name])

    async def splits(self, request: Request) -> Response:
        def work(environment: AnyEnvironment) -> JsonValue:
            return [
                {"name": split, "type": split if split in TYPES else "validation"}
                for split in environment.list_splits()
            ]

        return await self._asked(request, "list_splits", work)

    async def tasks(self, request: Request) -> Response:
        split = checked(OfSplit, await json_body(request)).split
        name = self._slots.name

        def work(environment: AnyEnvironment) -> JsonValue:
            return {"tasks": [*_tasks(environment, split)], "env_name": name}

        return await self._asked(request, "list_tasks", work)

    async def number(self, request: Request) -> Response:
        split = checked(OfSplit, await json_body(request)).split

        def work(environment: AnyEnvironment) -> JsonValue:
            return {"num_tasks": len(_tasks(environment, split))}

        return await self._asked(request, "num_tasks", work)

    async def task(self, request: Request) -> Response:
        asked = checked(OneTask, await json_body(request))

        def work(environment: AnyEnvironment) -> JsonValue:
            tasks = _tasks(environment, asked.split)
            if not 0 <= asked.index < len(tasks):
                hint = f"the split {asked.split!r} has {len(tasks)} tasks, the first is 0"
                raise InvalidTask(f"Invalid task index: {asked.index}", hint=hint)
            return {"task": tasks[asked.index]}

        return await self._asked(request, "get_task", work)

    async def range(self, request: Request) -> Response:
        asked = checked(SomeTasks, await json_body(request))

        def work(environment: AnyEnvironment) -> JsonValue:
            return {"tasks": [*_tasks(environment, asked.split)[asked.start : asked.stop]]}

        return await self._asked(request, "get_task_range", work)

    async def _asked(
        self, request: Request, method: str, work: Callable[[AnyEnvironment], JsonValue]
    ) -> Response:
        named = request.path_params["env_name"]
        if named.lower() != self._slots.name.lower():
            raise NotFound(f"unknown environment {named!r}", hint=f"here is {self._slots.name}")

        def answer() -> bytes:
            with _translated(method), self._slots.lent() as environment:
                return dumps(work(environment))

        # Task sets may be read from files.
        return Response(await to_thread.run_sync(answer), media_type="application/json")


def _tasks(environment: AnyEnvironment, split: str) -> Sequence[JsonObject]:
    splits = environment.list_splits()
    if split not in splits:
        raise InvalidTask(f"there is no split {split!r}", hint=f"splits: {', '.join(splits)}")
    return environment.list_tasks(split)


@contextmanager
def _translated(method: str) -> Iterator[None]:
    try:
        yield
    except NotImplementedError as exc:
        raise TaskSetsMissing(f"{method} is not supported for this environment") from exc
    except IndexError as exc:
        raise InvalidTask("Invalid task index") from exc
