"""The long soak (``python3 dev.py bench gateway --faults SECONDS``), for a moment."""

from __future__ import annotations

from benchmarks import fault_soak


async def test_nothing_is_kept_of_calls_that_are_over() -> None:
    warm, *later = await fault_soak.soak(0, parts=4, least=150)
    last = later[-1]
    assert last.calls >= 600
    assert last.answered > last.calls // 2
    assert {each.tasks for each in later} == {warm.tasks}
    assert {(each.places, each.connections) for each in later} == {(0, 0)}
    # Some objects come and go by themselves; a leak of one for each call would be 150 a part.
    assert min(each.objects for each in later[1:]) - later[0].objects < 150
