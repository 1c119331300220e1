from __future__ import annotations

from datetime import UTC, datetime

from agentcore.kit.clock import SystemClock


async def test_the_system_clock_is_aware_and_moves_on() -> None:
    clock = SystemClock()
    began = clock.monotonic()
    await clock.sleep(0.01)
    assert clock.monotonic() - began >= 0.009
    before = datetime.now(UTC)
    assert before <= clock.now() <= datetime.now(UTC)
