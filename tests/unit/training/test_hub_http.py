from __future__ import annotations

import contextvars
from collections.abc import Iterator

import httpx2
import pytest

from agentcore.training.openenv.registration import hub_http as module
from agentcore.training.openenv.registration.errors import HubError, HubUnavailable
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


class Endless(httpx2.SyncByteStream):
    """A page that never ends; ``ours`` is given up on the way."""

    def __init__(self, ours: Patience, given_up_at: int | None) -> None:
        self.chunks = 0
        self.closed = False
        self._ours = ours
        self._given_up_at = given_up_at

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self.chunks += 1
            self._ours.over = self.chunks == self._given_up_at
            yield b" " * 1000

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(("given_up_at", "said"), [(3, "nobody waits"), (None, "more than 9999")])
def test_a_page_without_end_is_not_read_on(
    given_up_at: int | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST_PAGE", 9999)
    ours = Patience(3.0)
    page = Endless(ours, given_up_at)

    def asked() -> None:
        patience.set(ours)
        transport = httpx2.MockTransport(lambda _: httpx2.Response(200, stream=page))
        with ImpatientClient(transport=transport, base_url="http://hub.example") as http:
            http.get("/")

    with pytest.raises(HubError, match=said):
        contextvars.copy_context().run(asked)
    assert page.chunks == (given_up_at or 10)
    assert page.closed


def test_a_compressed_page_is_not_unpacked() -> None:
    def asked() -> None:
        patience.set(Patience(3.0))
        page = httpx2.Response(200, content=b"x", headers={"content-encoding": "br"})
        with ImpatientClient(
            transport=httpx2.MockTransport(lambda _: page), base_url="http://hub.example"
        ) as http:
            http.get("/")

    with pytest.raises(HubError, match="compressed"):
        contextvars.copy_context().run(asked)
