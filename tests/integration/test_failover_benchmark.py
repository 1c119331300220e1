from __future__ import annotations

from benchmarks import failover
from benchmarks.failover import Delay, delay
from tests.fakes.llm_fault_table import FAULTS


async def test_a_delay_is_measured_between_answers_of_the_same_provider() -> None:
    measured = await delay("500", 5)
    assert measured.fault == "500"
    assert measured.p50 <= measured.p99


def test_what_is_measured_is_in_the_table_of_faults() -> None:
    assert set(failover.MEASURED) <= FAULTS.keys()
    assert "kept" in str(Delay("500", 1.0, 19.0))
    assert "MISSED" in str(Delay("500", 1.0, 21.0))
