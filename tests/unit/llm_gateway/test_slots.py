from __future__ import annotations

import pytest

from agentcore.llm_gateway.slots import Slots


def test_no_limit_is_never_full() -> None:
    slots = Slots()
    assert all(slots.take() for _ in range(100))
    assert slots.load == 100.0


def test_a_limit_is_held() -> None:
    slots = Slots(2)
    assert [slots.take() for _ in range(3)] == [True, True, False]
    assert slots.load == 1.0
    slots.release()
    assert slots.take()


def test_a_limit_may_shrink_below_what_is_taken() -> None:
    slots = Slots(3)
    for _ in range(3):
        slots.take()
    slots.limit = 1
    slots.release()
    slots.release()
    assert not slots.take()
    slots.limit = 0
    assert slots.load == 1.0


def test_a_slot_is_released_once() -> None:
    with pytest.raises(RuntimeError, match="nobody holds"):
        Slots().release()
