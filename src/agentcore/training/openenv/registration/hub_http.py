"""The HTTP client under the Hub's library: with a timeout, and with errors of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import httpx2

from agentcore.kit.errors import first_line
from agentcore.training.openenv.registration.errors import (
    HubError,
    HubRateLimited,
    HubUnauthorized,
    HubUnavailable,
)

LARGEST_PAGE = 64 * 1024 * 1024


@dataclass(slots=True)
class Patience:
    """Seconds that one request may take; ``over`` ends whoever still lists."""

    seconds: float
    over: bool = False


# Set in the threads that ask for us, and nowhere else.
patience: ContextVar[Patience | None] = ContextVar("hub_patience", default=None)


class ImpatientClient(httpx2.Client):
    """The library's client for the whole process, which answers our own requests with our errors.

    Left to itself the library asks without a timeout, repeats what fails for half a minute, and
    sleeps as long as the Hub says, in a thread that nothing can wake.
    """

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        ours = patience.get()
        if ours is None:
            return super().send(request, **options)
        if ours.over:
            raise HubUnavailable("nobody waits for the list any more")
        limits = dict.fromkeys(("connect", "read", "write", "pool"), ours.seconds)
        request.extensions = {**request.extensions, "timeout": limits}
        # What is compressed may be a thousand times as large as what is counted.
        request.headers["accept-encoding"] = "identity"
        try:
            response = super().send(request, **{**options, "stream": True})
            try:
                _read(response, ours)
            finally:
                response.close()
        except httpx2.RequestError as exc:
            raise HubUnavailable(
                f"{request.url.copy_with(query=None)} cannot be reached: {first_line(exc)}",
                hint="is this machine online, and training.registry.hub.endpoint right? "
                "agentcore env import reads a catalog file without the Hub",
            ) from exc
        return response


class _Page(httpx2.SyncByteStream):
    """A body that is read as long as somebody waits for it, and not beyond what a page has."""

    def __init__(self, body: httpx2.SyncByteStream, ours: Patience) -> None:
        self._body = body
        self._ours = ours

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for chunk in self._body:
            size += len(chunk)
            if self._ours.over:
                raise HubUnavailable("nobody waits for the list any more")
            if size > LARGEST_PAGE:
                raise HubError(f"a page of the list has more than {LARGEST_PAGE} bytes")
            yield chunk

    def close(self) -> None:
        self._body.close()


def _read(response: httpx2.Response, ours: Patience) -> None:
    if isinstance(response.stream, httpx2.SyncByteStream):
        response.stream = _Page(response.stream, ours)
    _check_status(response)
    response.read()


def _check_status(response: httpx2.Response) -> None:
    """Raises what the status means; a body that was not asked for in this form is not read."""
    status, after = response.status_code, response.headers.get("retry-after", "")
    detail = f"{response.url.copy_with(query=None)} answers with HTTP {status}"
    if status in {401, 403}:
        raise HubUnauthorized(
            detail, hint="training.registry.hub.token is missing, expired, or may not read there"
        )
    if status == 429:
        raise HubRateLimited(
            detail,
            hint="wait, or configure training.registry.hub.token: the limit is higher with one",
            retry_after=float(after) if after.isdecimal() else None,
        )
    if status >= 500:
        raise HubUnavailable(detail, hint="try again later")
    if status != 200:
        raise HubError(detail, hint="check training.registry.hub.endpoint")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise HubError(f"{detail}, compressed, which was not asked for")
