from __future__ import annotations

from typing import Any

import orjson
import pytest

from agentcore.llm_gateway.errors import (
    UpstreamCredentialRefused,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from agentcore.llm_gateway.wires.gemini_errors import failure_in, gemini_failure

BAD_KEY = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    "reason": "API_KEY_INVALID",
    "domain": "googleapis.com",
}


def error(code: Any, status: str, message: str = "why", *details: Any) -> dict[str, Any]:
    told = {"code": code, "message": message, "status": status}
    return {"error": {**told, "details": list(details)} if details else told}


def retry(delay: Any) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


def failure(document: Any, status: int = 0, after: float | None = None) -> UpstreamError:
    known = document[0] if isinstance(document, list) else document
    code = status or known["error"]["code"]
    return gemini_failure(code, orjson.dumps(document), "gemini", retry_after=after)


@pytest.mark.parametrize("wrap", [lambda told: told, lambda told: [told]], ids=["plain", "list"])
def test_the_callers_fault_is_told_as_openai_would(wrap: Any) -> None:
    found = failure(wrap(error(400, "INVALID_ARGUMENT", "no such field")))
    assert isinstance(found, UpstreamRejected)
    assert found.status == 400
    assert "gemini answered 400: no such field" in found.detail
    assert orjson.loads(found.body)["error"] == {
        "message": "no such field",
        "type": "invalid_request_error",
        "param": None,
        "code": "INVALID_ARGUMENT",
    }


def test_a_bad_key_is_not_the_callers_fault() -> None:
    found = failure(error(400, "INVALID_ARGUMENT", "API key not valid. AIza", BAD_KEY))
    assert isinstance(found, UpstreamCredentialRefused)
    assert "AIza" not in found.detail


def test_a_project_that_is_not_served_is_not_the_callers_fault() -> None:
    found = failure(error(400, "FAILED_PRECONDITION", "User location is not supported"))
    assert type(found) is UpstreamError
    assert found.fails_over
    assert "User location is not supported" in found.detail


@pytest.mark.parametrize(
    ("details", "after", "expected"),
    [
        ([retry("37s")], None, 37.0),
        ([BAD_KEY | {"reason": "RATE"}, retry("0.5s")], 9.0, 0.5),
        ([], 9.0, 9.0),
        ([], None, None),
        ([retry("soon")], 9.0, 9.0),
        ([retry("xs")], None, None),
        ([retry("-1s")], None, None),
        ([retry(37), {"reason": ["x"]}, "x"], None, None),
    ],
)
def test_a_limit_says_when_it_ends(
    details: list[Any], after: float | None, expected: float | None
) -> None:
    found = failure(error(429, "RESOURCE_EXHAUSTED", "quota", *details), after=after)
    assert isinstance(found, UpstreamRateLimited)
    assert found.retry_after == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, UpstreamCredentialRefused),
        (403, UpstreamCredentialRefused),
        (404, UpstreamError),
        (499, UpstreamUnavailable),
        (500, UpstreamUnavailable),
        (503, UpstreamUnavailable),
        (504, UpstreamTimeout),
    ],
)
def test_other_statuses(status: int, expected: type[UpstreamError]) -> None:
    assert type(failure(error(status, "X"))) is expected


@pytest.mark.parametrize("raw", [b"", b"<html>", b"[]", b"{}", b'"x"', b'{"error":"down"}'])
def test_bodies_that_are_no_error_of_google(raw: bytes) -> None:
    assert isinstance(gemini_failure(502, raw, "gemini"), UpstreamUnavailable)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (error(429, "RESOURCE_EXHAUSTED", "x", retry("3s")), UpstreamRateLimited),
        ([error(503, "UNAVAILABLE")], UpstreamUnavailable),
        (error(None, "INVALID_ARGUMENT"), UpstreamRejected),
        (error(8, "RESOURCE_EXHAUSTED"), UpstreamRateLimited),
        (error(None, "ODD"), UpstreamUnavailable),
        ({"error": "boom"}, UpstreamUnavailable),
    ],
)
def test_errors_behind_a_200(document: Any, expected: type[UpstreamError]) -> None:
    assert type(failure_in(document, "gemini")) is expected


@pytest.mark.parametrize("document", [{}, [], [{}], [{}, {}], None, "x", {"error": None}])
def test_what_reports_no_error(document: Any) -> None:
    assert failure_in(document, "gemini") is None
