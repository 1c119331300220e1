from __future__ import annotations

from dataclasses import replace

import pytest

from agentcore.training.openenv.conformance.checks_access import CHECKS
from agentcore.training.openenv.conformance.judging import Check
from tests.contracts.openenv.reports import PLAN, found, report_on, sees_its_defect
from tests.fakes.openenv_servers import Frame
from tests.fakes.openenv_sound import AGENT, ORCHESTRATOR, SoundServer, Walk


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
async def test_a_defect_is_seen(check: Check) -> None:
    await sees_its_defect(check, CHECKS)


class AnyWord(SoundServer):
    """Wants credentials, and looks at none."""

    def allowed(self, token: str) -> bool:
        return bool(token)


async def test_a_token_that_is_none_must_not_do() -> None:
    report = await report_on(AnyWord(), only=["auth"])
    assert found(report, "warn")["auth"].endswith("a session for a token that is none")


class ForOrchestrators(SoundServer):
    """Turns agents away at the door: they cannot reset either."""

    def allowed(self, token: str) -> bool:
        return token == ORCHESTRATOR

    def metadata(self) -> Frame:
        return {**super().metadata(), "agentcore": {}}

    def render(self, walk: Walk) -> None:
        return None


async def test_what_is_not_offered_is_not_judged() -> None:
    names = ["agent-scope", "render", "ready", "terminated-truncated"]
    report = await report_on(ForOrchestrators(), only=names)
    assert set(found(report, "pass")) == {"agent-scope"}
    assert set(found(report, "skipped")) == {"render", "ready", "terminated-truncated"}
    without = await report_on(SoundServer(), replace(PLAN, agent_token=None), ["agent-scope"])
    assert "--agent-token" in found(without, "skipped")["agent-scope"]


async def test_no_token_is_shown() -> None:
    report = await report_on(AnyWord())
    text = report.model_dump_json()
    assert ORCHESTRATOR not in text
    assert AGENT not in text
