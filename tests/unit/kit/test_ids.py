from __future__ import annotations

import os
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from agentcore.kit.ids import Ids, stable_uuid
from tests.fakes.clock import ManualClock


@given(st.integers(min_value=0, max_value=2**80 - 1))
def test_every_id_is_a_uuid_of_version_7(bits: int) -> None:
    made = Ids(ManualClock(), lambda _: bits).new()
    assert (made.version, made.variant) == (7, "specified in RFC 4122")


def test_ids_sort_by_time(clock: ManualClock) -> None:
    ids = Ids(clock)
    early = ids.new()
    clock.advance(0.002)
    assert early < ids.new()
    assert early.int >> 80 == int(ManualClock().now().timestamp() * 1000)


def test_no_id_is_made_twice() -> None:
    ids = Ids(ManualClock())
    made = {ids.new() for _ in range(1000)}
    assert len(made) == 1000


def test_a_forked_process_makes_ids_of_its_own() -> None:
    ids = Ids(ManualClock())
    ids.new()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writing, ids.new().bytes)
        os._exit(0)
    os.waitpid(pid, 0)
    theirs = os.read(reading, 16)
    os.close(reading)
    os.close(writing)
    assert len(theirs) == 16
    assert theirs != ids.new().bytes


def test_names_become_stable_uuids_and_uuids_stay() -> None:
    given_id = UUID("0190163d-8694-739b-aea5-966c26f8ad91")
    assert stable_uuid(str(given_id)) == given_id
    assert stable_uuid("pb-456") == stable_uuid("pb-456") != stable_uuid("pb-457")
