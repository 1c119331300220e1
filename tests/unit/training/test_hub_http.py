from __future__ import annotations

import contextvars

import httpx2
import pytest

from agentcore.training.openenv.registration.errors import HubUnavailable
from agentcore.training.openenv.registration.hub_http import ImpatientClient, Patience, patience


def broken(request: httpx2.Request) -> httpx2.Response:
    if request.url.path == "/away":
        raise httpx2.ConnectError("nobody there")
    return httpx2.Response(503, headers={"x-timeout": str(request.extensions["timeout"]["read"])})


def client() -> ImpatientClient:
    return ImpatientClient(
        transport=httpx2.MockTransport(broken), base_url="http://hub.example", timeout=None
    )


def test_others_in_the_process_get_what_they_would_get_without_us() -> None:
    with client() as http:
        answer = http.get("/")
        assert (answer.status_code, answer.headers["x-timeout"]) == (503, "None")
        with pytest.raises(httpx2.ConnectError):
            http.get("/away")


@pytest.mark.parametrize("path", ["/", "/away"])
def test_our_own_requests_fail_at_once_with_our_errors(path: str) -> None:
    def ours() -> None:
        patience.set(Patience(3.0))
        with client() as http:
            http.get(path, params={"filter": "openenv"})

    with pytest.raises(HubUnavailable) as caught:
        contextvars.copy_context().run(ours)
    assert "openenv" not in caught.value.detail
    assert patience.get() is None


def test_who_was_given_up_asks_no_more() -> None:
    def ours() -> None:
        patience.set(Patience(3.0, over=True))
        with client() as http:
            http.get("/away")

    with pytest.raises(HubUnavailable, match="nobody waits"):
        contextvars.copy_context().run(ours)
