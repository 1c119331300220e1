"""The HTTP client under the Hub's library: with a timeout, and with errors of ours."""

from __future__ import annotations

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
        try:
            response = super().send(request, **options)
        except httpx2.RequestError as exc:
            raise HubUnavailable(
                f"{request.url.copy_with(query=None)} cannot be reached: {first_line(exc)}",
                hint="is this machine online, and training.registry.hub.endpoint right? "
                "agentcore env import reads a catalog file without the Hub",
            ) from exc
        _check_status(response)
        return response


def _check_status(response: httpx2.Response) -> None:
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
