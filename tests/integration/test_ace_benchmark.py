"""The harness measures what it says, on a small scale."""

from __future__ import annotations

from agentcore.ace.content import Draft
from agentcore.ace.ops import replay
from benchmarks import ace
from benchmarks.measured import Measured


def test_the_measured_log_leads_where_it_says() -> None:
    log, content = ace.lived(400)
    assert [version for version, _ in log] == list(range(2, 402))
    assert replay({}, log) == content
    assert 100 < len(list(Draft.of(content).bullets())) <= 350
    assert {one.op for _, operations in log for one in operations} == {
        "ADD",
        "TAG",
        "UPDATE",
        "REMOVE",
        "MOVE",
    }


async def test_a_scenario_says_how_much_it_measured() -> None:
    first, second = await ace.replaying(0.01)
    assert (first.name, first.goal) == ("replay 50 deltas", 200)
    assert second.goal is None


def test_a_report_says_which_goals_are_kept() -> None:
    assert str(Measured("a", 0.5, "ms", 1)).endswith("0.500 ms, goal 1: kept")
    assert str(Measured("a", 1.5, "ms", 1)).endswith("goal 1: MISSED")
    assert str(Measured("a", 1.5, "ms")).endswith("1.500 ms")
