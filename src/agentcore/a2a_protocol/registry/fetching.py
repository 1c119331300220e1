"""One answer of a foreign server: small, plain, and as it was sent."""

from __future__ import annotations

from dataclasses import dataclass

import aiohttp

from agentcore.a2a_protocol.errors import CardUnreadable
from agentcore.a2a_protocol.models.agent_card import LARGEST_CARD
from agentcore.a2a_protocol.push.outside import FAULTS, NoPublicAddress, open_session
from agentcore.kit.http import bounded

LONGEST_ETAG = 512
HEADERS = {"accept": "application/json", "accept-encoding": "identity"}


@dataclass(frozen=True, slots=True)
class Fetched:
    """``same`` where it is still what had that ``etag``; then it has no body."""

    etag: str
    body: bytes = b""
    same: bool = False


async def fetch(url: str, *, anywhere: bool, etag: str = "") -> Fetched | None:
    """What is at ``url``; None where it leads inside and must not.

    Redirects are not followed: they lead to addresses that nobody has checked.

    Raises:
        CardUnreadable: nothing answers, or not with a document of at most 256 KiB.
    """
    headers = {**HEADERS, "if-none-match": etag} if etag else HEADERS
    try:
        async with (
            open_session(anywhere=anywhere, connections=1, unpacking=False) as session,
            session.get(url, headers=headers, allow_redirects=False) as response,
        ):
            if response.status == 304 and etag:
                return Fetched(etag, same=True)
            if response.status != 200:
                raise CardUnreadable(url, f"it answers with status {response.status}")
            tag = response.headers.get("etag", "")
            return Fetched(tag if len(tag) <= LONGEST_ETAG else "", await _body(url, response))
    except aiohttp.ClientConnectorError as error:
        if isinstance(error.os_error, NoPublicAddress):
            return None
        raise CardUnreadable(url, _reason(error)) from error
    except FAULTS as error:
        raise CardUnreadable(url, _reason(error)) from error


async def _body(url: str, response: aiohttp.ClientResponse) -> bytes:
    body = await bounded(response.content.iter_any(), LARGEST_CARD)
    if len(body) > LARGEST_CARD:
        raise CardUnreadable(url, f"it has more than {LARGEST_CARD} bytes")
    return body


def _reason(error: BaseException) -> str:
    """What went wrong, in words that name no address beyond the one that was given."""
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"it cannot be connected to: {error.os_error.strerror or error.os_error}"
    return f"it does not answer as HTTP does: {type(error).__name__}"
