from __future__ import annotations

from agentcore.simulators.faults import FaultBoard
from agentcore.simulators.models import Fault


def test_a_certain_fault_always_strikes() -> None:
    board = FaultBoard([Fault(kind="stall")], seed=0)
    assert all(board.strike().keys() == {"stall"} for _ in range(20))


def test_a_rare_fault_strikes_at_its_rate_and_reproducibly() -> None:
    boards = [FaultBoard([Fault(kind="stall", rate=0.2)], seed=7) for _ in range(2)]
    strikes = [[bool(board.strike()) for _ in range(1000)] for board in boards]
    assert strikes[0] == strikes[1]
    assert 150 < sum(strikes[0]) < 250


def test_a_fault_is_spent_after_its_times() -> None:
    board = FaultBoard([Fault(kind="stall", times=2)], seed=0)
    assert [bool(board.strike()) for _ in range(4)] == [True, True, False, False]
    board.replace([Fault(kind="stall", times=1)])
    assert [bool(board.strike()) for _ in range(2)] == [True, False]


def test_faults_strike_together() -> None:
    board = FaultBoard([Fault(kind="stall"), Fault(kind="cut_stream", after_tokens=1)], seed=0)
    struck = board.strike()
    assert struck["cut_stream"].after_tokens == 1
    assert board.faults == tuple(struck.values())


def test_budgets_and_slow_status_stand_and_do_not_strike() -> None:
    faults = [Fault(kind="start_budget", seconds=3), Fault(kind="slow_status")]
    board = FaultBoard(faults, seed=0)
    assert board.strike() == {}
    assert board.standing("start_budget") == faults[0]
    assert board.standing("stall") is None
