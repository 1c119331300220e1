from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx2
import pytest

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.environments.examples.guess_number import GuessNumber
from agentcore.training.openenv.models import EnvironmentServerConfig
from tests.fakes.openenv_servers import envs_app, serving


class WithTasks(GuessNumber):
    name = "With_Tasks"

    def list_splits(self) -> Sequence[str]:
        return ("train", "hard")

    def list_tasks(self, split: str) -> Sequence[JsonObject]:
        return [{"of": split, "limit": limit} for limit in range(3)]


@pytest.fixture(scope="module")
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    environments = {"With_Tasks": WithTasks, "plain": GuessNumber}
    app = envs_app(environments, EnvironmentServerConfig())
    async with serving(app) as url, httpx2.AsyncClient(base_url=f"{url}/envs/With_Tasks") as client:
        yield client


async def test_splits_have_types(http: httpx2.AsyncClient) -> None:
    assert (await http.get("/list_environments")).json() == ["With_Tasks"]
    # Upstream compares names without their case.
    for name in ("With_Tasks", "with_tasks"):
        assert (await http.get(f"/{name}/splits")).json() == [
            {"name": "train", "type": "train"},
            {"name": "hard", "type": "validation"},
        ]


@pytest.mark.parametrize(
    ("route", "body", "answer"),
    [
        ("num_tasks", {}, {"num_tasks": 3}),
        ("task", {"index": 1}, {"task": {"of": "hard", "limit": 1}}),
        ("task_range", {"start": 2}, {"tasks": [{"of": "hard", "limit": 2}]}),
        ("task_range", {"start": 0, "stop": 1}, {"tasks": [{"of": "hard", "limit": 0}]}),
        ("task_range", {"start": 5}, {"tasks": []}),
    ],
)
async def test_tasks_are_found_by_split_and_index(
    route: str, body: dict[str, Any], answer: Any, http: httpx2.AsyncClient
) -> None:
    said = await http.post(f"/with_tasks/{route}", json={"split": "hard", **body})
    assert (said.status_code, said.json()) == (200, answer)


async def test_all_tasks_name_their_environment(http: httpx2.AsyncClient) -> None:
    said = (await http.post("/with_tasks/tasks", json={"split": "train"})).json()
    assert (len(said["tasks"]), said["env_name"]) == (3, "With_Tasks")


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/other/tasks", {"split": "train"}, 404),
        ("/with_tasks/task", {"split": "train", "index": 3}, 400),
        ("/with_tasks/task", {"split": "train", "index": -1}, 400),
        ("/with_tasks/tasks", {"split": "none"}, 400),
        ("/with_tasks/tasks", {}, 422),
        ("/with_tasks/tasks", {"split": "train", "more": 1}, 422),
        ("/with_tasks/task", {"split": "train", "index": "x"}, 422),
        ("/../plain/plain/num_tasks", {"split": "train"}, 501),
    ],
)
async def test_what_is_not_there_is_refused_as_upstream_does(
    path: str, body: dict[str, Any], status: int, http: httpx2.AsyncClient
) -> None:
    answer = await http.post(path, json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]


async def test_an_index_that_is_not_there_is_named_with_those_that_are(
    http: httpx2.AsyncClient,
) -> None:
    told = (await http.post("/with_tasks/task", json={"split": "train", "index": 3})).json()
    assert told["detail"] == "Invalid task index: 3"
    assert told["hint"] == "the split 'train' has 3 tasks, the first is 0"


async def test_splits_that_nobody_declares_are_501(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/../plain/plain/splits")
    assert answer.status_code == 501
    assert answer.json()["detail"] == "list_splits is not supported for this environment"
