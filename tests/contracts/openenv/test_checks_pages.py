"""Each of these checks fails on the server that has its defect, and none of the others does."""

from __future__ import annotations

import pytest

from agentcore.training.openenv.conformance.checks_pages import CHECKS
from agentcore.training.openenv.conformance.judging import Check
from tests.contracts.openenv.reports import sees_its_defect


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
async def test_a_defect_is_seen(check: Check) -> None:
    await sees_its_defect(check, CHECKS)
