from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette

from agentcore.training.openenv.conformance.checks_http import CHECKS
from agentcore.training.openenv.conformance.judging import Check
from tests.contracts.openenv.reports import found, report_on, sees_its_defect
from tests.fakes.openenv_servers import Frame
from tests.fakes.openenv_sound import SoundServer

NAMES = [check.id for check in CHECKS]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
async def test_a_defect_is_seen(check: Check) -> None:
    await sees_its_defect(check, CHECKS)


class Production(SoundServer):
    """Episodes by the socket alone."""

    def app(self) -> Starlette:
        whole = super().app()
        gone = {"/reset", "/step", "/state"}
        return Starlette(
            routes=[route for route in whole.routes if getattr(route, "path", "") not in gone]
        )


async def test_a_server_in_production_has_nothing_to_check_here() -> None:
    report = await report_on(Production(), only=[*NAMES, "routes", "episode"])
    assert set(found(report, "skipped")) == set(NAMES) - {"tasks"}
    assert set(found(report, "pass")) == {"routes", "episode", "tasks"}


class Taskless(SoundServer):
    def splits(self) -> int:
        return 501


class Uncounted(SoundServer):
    def num_tasks(self, body: Frame) -> Any:
        return 501


class Wrong(SoundServer):
    def names(self) -> Any:
        return {"names": ["walk"]}


@pytest.mark.parametrize(
    ("server", "outcome"), [(Taskless(), "pass"), (Uncounted(), "pass"), (Wrong(), "fail")]
)
async def test_task_sets_are_optional_but_not_wrong(server: SoundServer, outcome: str) -> None:
    report = await report_on(server, only=["tasks"])
    assert set(found(report, outcome)) == {"tasks"}
