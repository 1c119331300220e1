"""The shipped suite on servers of the tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agentcore.training.openenv.conformance.judging import Check
from agentcore.training.openenv.conformance.models import Plan, Report
from agentcore.training.openenv.conformance.suite import chosen, run_checks
from tests.fakes.openenv_defects import DEFECTS
from tests.fakes.openenv_servers import serving
from tests.fakes.openenv_sound import AGENT, ORCHESTRATOR, SoundServer

PLAN = Plan(
    url="",
    token=ORCHESTRATOR,
    agent_token=AGENT,
    answer_seconds=60,
    settle_seconds=0.1,
    quiet_seconds=0.02,
    check_seconds=60,
)


async def report_on(server: SoundServer, plan: Plan = PLAN, only: Sequence[str] = ()) -> Report:
    async with serving(server.app()) as url:
        return await run_checks(replace(plan, url=url), chosen(only), lambda *_: None)


def found(report: Report, *outcomes: str) -> dict[str, str]:
    return {
        result.id: result.reason or f"{result.expected}: {result.got}"
        for result in report.results
        if result.outcome in outcomes
    }


async def sees_its_defect(check: Check, family: Sequence[Check]) -> None:
    """A server with the defect that ``check`` looks for fails it, and no other of ``family``."""
    report = await report_on(DEFECTS[check.id](), only=[each.id for each in family])
    assert set(found(report, "fail", "warn")) == {check.id}, found(report, "fail", "warn")
    result = next(result for result in report.results if result.id == check.id)
    assert result.outcome == ("warn" if check.severity == "should" else "fail")
    assert result.expected
    assert result.got
    assert result.reproduce
    assert report.passed == (check.severity == "should")
