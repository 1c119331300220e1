from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.training.openenv.turn import Turn


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_free_turn_is_taken_without_waiting_and_once() -> None:
    turn = Turn()
    assert turn.take()
    assert not turn.take()
    turn.release()
    assert turn.take()


async def test_who_waits_comes_before_who_asks_just_now() -> None:
    turn = Turn()
    turn.take()
    waiting = asyncio.create_task(turn.wait())
    await settle()
    turn.release()
    assert not turn.take(), "it was handed on, though the waiting task has not run yet"
    await waiting
    turn.release()
    assert turn.take()


async def test_a_turn_given_to_one_who_leaves_at_that_moment_goes_on_to_the_next() -> None:
    turn = Turn()
    turn.take()
    first, second = asyncio.create_task(turn.wait()), asyncio.create_task(turn.wait())
    await settle()
    turn.release()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    async with asyncio.timeout(60):
        await second
    turn.release()
    assert turn.take()


async def test_a_coroutine_that_is_closed_in_line_holds_up_nobody() -> None:
    turn = Turn()
    turn.take()
    waiting = turn.wait()
    waiting.send(None)
    waiting.close()
    turn.release()
    assert turn.take()


async def test_as_a_block_it_is_released_by_an_error() -> None:
    turn = Turn()
    with suppress(KeyError):
        async with turn:
            assert not turn.take()
            raise KeyError
    assert turn.take()


@given(
    st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.booleans()), min_size=1, max_size=12)
)
async def test_one_at_a_time_in_order_and_free_in_the_end(
    callers: list[tuple[int, bool, bool]],
) -> None:
    """Each caller holds the turn for some ticks; some fail in it, some are cancelled anywhere."""
    turn, inside, order = Turn(), 0, list[int]()

    async def hold(number: int, ticks: int, *, fails: bool) -> None:
        nonlocal inside
        async with turn:
            inside += 1
            assert inside == 1
            order.append(number)
            try:
                for _ in range(ticks):
                    await asyncio.sleep(0)
                if fails:
                    raise KeyError
            finally:
                inside -= 1

    tasks = [
        asyncio.create_task(hold(number, ticks, fails=fails))
        for number, (ticks, fails, _) in enumerate(callers)
    ]
    for number, (ticks, _, cancelled) in enumerate(callers):
        for _ in range(ticks):
            await asyncio.sleep(0)
        if cancelled:
            tasks[number].cancel()
    async with asyncio.timeout(20):
        await asyncio.gather(*tasks, return_exceptions=True)
    assert order == sorted(order)
    assert turn.take()
