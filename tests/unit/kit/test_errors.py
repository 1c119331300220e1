from __future__ import annotations

import pytest

from agentcore.kit.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    Unavailable,
    problem,
    rpc_error,
    said_by,
)


def test_problem_details_carry_code_hint_and_context() -> None:
    error = Conflict("at version 4, not 3", hint="read it again", found=4, expected=3)
    assert problem(error, instance="/x") == {
        "type": "urn:agentcore:error:conflict",
        "title": "Conflict",
        "status": 409,
        "detail": "at version 4, not 3",
        "code": "conflict",
        "hint": "read it again",
        "retryable": False,
        "instance": "/x",
        "found": 4,
        "expected": 3,
    }


def test_rpc_errors_carry_the_same_in_data() -> None:
    assert rpc_error(NotFound("no task 'x'", hint="list them")) == {
        "code": -32053,
        "message": "no task 'x'",
        "data": {"code": "not_found", "hint": "list them", "retryable": False},
    }


def test_context_cannot_replace_a_standard_member() -> None:
    assert problem(InvalidInput("wrong", status="fine"))["status"] == 422


def test_retry_after_is_read_from_the_context() -> None:
    assert Unavailable("busy", retry_after=2).retry_after == 2.0
    assert Unavailable("busy").retry_after is None


@pytest.mark.parametrize(("seconds", "header"), [(0, "1"), (0.2, "1"), (1.2, "2"), (7, "7")])
def test_the_header_never_asks_too_early(seconds: float, header: str) -> None:
    assert Unavailable("busy", retry_after=seconds).retry_after_header == header


def test_nothing_known_is_no_header() -> None:
    assert Unavailable("busy").retry_after_header is None


def test_the_words_of_foreign_code_can_be_sent_and_stored() -> None:
    error = FileNotFoundError("no \udcff\x00file")
    assert said_by(error) == "FileNotFoundError: no \\udcff\ufffdfile"
