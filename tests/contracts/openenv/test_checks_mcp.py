from __future__ import annotations

import pytest

from agentcore.training.openenv.conformance.checks_mcp import CHECKS
from agentcore.training.openenv.conformance.judging import Check
from tests.contracts.openenv.reports import found, report_on, sees_its_defect
from tests.fakes.openenv_servers import Frame
from tests.fakes.openenv_sound import Refusal, SoundServer

NAMES = [check.id for check in CHECKS]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
async def test_a_defect_is_seen(check: Check) -> None:
    await sees_its_defect(check, CHECKS)


class Toolless(SoundServer):
    """Speaks the dialect, has no tools, and makes no sessions by it."""

    def rpc(self, request: Frame) -> Frame:
        code = -32603 if request["method"] == "tools/list" else -32601
        error = {"code": code, "message": "no"}
        return {"jsonrpc": "2.0", "id": request["id"], "error": error, "result": None}

    def judge_members(self, frame: Frame, kind: str) -> None:
        if kind == "mcp":
            raise Refusal("UNKNOWN_TYPE")
        super().judge_members(frame, kind)


async def test_an_environment_without_tools_is_none_the_worse() -> None:
    report = await report_on(Toolless(), only=NAMES)
    assert set(found(report, "pass")) == {"mcp", "mcp-unknown-method", "mcp-socket"}
    assert set(found(report, "skipped")) == set(NAMES[2:3] + NAMES[4:])
