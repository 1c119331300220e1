from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.training.openenv.models import ENVIRONMENT_NAME
from agentcore.training.openenv.registration.errors import AmbiguousEnvironment
from agentcore.training.openenv.registration.naming import (
    MOST_NAMED,
    Reference,
    choose,
    name_from,
    some_of,
)
from agentcore.training.openenv.registration.records import EnvironmentRecord
from agentcore.training.openenv.specs import EnvironmentSpec, Source

START = datetime(2026, 1, 1, tzinfo=UTC)


def record(
    number: int, name: str, source_id: str = "", revision: str = "", source: Source = "hub"
) -> EnvironmentRecord:
    at = START + timedelta(minutes=number)
    return EnvironmentRecord(
        id=UUID(int=number),
        spec=EnvironmentSpec(
            name=name, source=source, source_id=source_id or name, revision=revision
        ),
        state="registered",
        created_at=START,
        registered_at=at,
    )


ANN_OLD = record(1, "echo", "ann/echo", "aaa111")
ANN_NEW = record(2, "echo", "ann/echo", "aaa222")
BOB = record(3, "echo", "bob/echo", "bbb111")
MAZE = record(4, "maze", "maze", source="manual")
KNOWN = (ANN_OLD, ANN_NEW, BOB, MAZE)


@pytest.mark.parametrize(
    ("written", "chosen"),
    [
        ("maze", MAZE),
        ("maze@", MAZE),
        ("manual:maze", MAZE),
        ("hub:maze", None),
        ("ann/echo", ANN_NEW),
        ("hub:ann/echo", ANN_NEW),
        ("hub:ann/echo@aaa1", ANN_OLD),
        ("echo@bbb", BOB),
        ("echo@aaa222", ANN_NEW),
        (str(UUID(int=1)), ANN_OLD),
        (str(UUID(int=9)), None),
        ("chess", None),
        ("", None),
        ("@", None),
        (":", None),
        ("\x00", None),
    ],
)
def test_a_reference_means_one_record_or_none(
    written: str, chosen: EnvironmentRecord | None
) -> None:
    assert choose(written, KNOWN) is chosen
    assert choose(written, reversed(KNOWN)) is chosen


@pytest.mark.parametrize(
    ("written", "candidates"),
    [
        ("echo", ["hub:ann/echo@aaa111", "hub:ann/echo@aaa222", "hub:bob/echo@bbb111"]),
        ("echo@aaa", ["hub:ann/echo@aaa111", "hub:ann/echo@aaa222"]),
    ],
)
def test_an_ambiguous_one_lists_its_candidates(written: str, candidates: list[str]) -> None:
    with pytest.raises(AmbiguousEnvironment) as caught:
        choose(written, KNOWN)
    assert caught.value.context["candidates"] == candidates
    for candidate in candidates:
        assert choose(candidate, KNOWN) is not None
        assert candidate in caught.value.detail


def test_a_whole_revision_wins_over_a_longer_one() -> None:
    short, long = record(1, "x", "a/x", "1"), record(2, "x", "a/x", "12")
    assert choose("x@1", (short, long)) is short


@given(st.text(max_size=100))
def test_any_text_is_a_reference_that_may_mean_nothing(written: str) -> None:
    Reference.parse(written)
    assert choose(written, ()) is None


@given(st.text(max_size=200))
def test_a_name_is_a_name_or_nothing(text: str) -> None:
    name = name_from(text)
    assert name == "" or re.fullmatch(ENVIRONMENT_NAME, name)
    assert name_from(name) == name


def test_a_hint_names_some_of_many() -> None:
    assert some_of(()) == "none"
    assert some_of(("a", "b")) == "a, b"
    many = [f"n{number}" for number in range(MOST_NAMED + 3)]
    assert some_of(many).endswith(f"n{MOST_NAMED - 1}, and 3 more")
