"""The data path's HTTP: one exchange with a provider, its limits, and its faults by name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import aiohttp
from yarl import URL

from agentcore.llm_gateway.errors import (
    UpstreamMalformed,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnavailable,
)

# A complete answer larger than this is an attack or a bug.
LARGEST_ANSWER = 64 * 1024 * 1024


class Exchange:
    """One answer whose body is still to be read; ``close`` is owed, more than once is fine."""

    __slots__ = ("_provider", "_response", "status")

    def __init__(self, response: aiohttp.ClientResponse, provider: str) -> None:
        self._response = response
        self._provider = provider
        self.status = response.status

    def header(self, name: str) -> str | None:
        return self._response.headers.get(name)

    async def read(self, seconds: float) -> bytes:
        """The whole body, within ``seconds``."""
        parts: list[bytes] = []
        size = 0
        with _naming(self._provider, "while answering", broken=UpstreamTruncated):
            async with asyncio.timeout(seconds):
                while part := await self._response.content.readany():
                    parts.append(part)
                    size += len(part)
                    if size > LARGEST_ANSWER:
                        raise UpstreamMalformed(
                            f"the answer of {self._provider} exceeds {LARGEST_ANSWER} bytes",
                            provider=self._provider,
                        )
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def chunk(self, seconds: float) -> bytes:
        """The next bytes; empty at the end of the body."""
        with _naming(self._provider, "in the middle of a stream", broken=UpstreamTruncated):
            async with asyncio.timeout(seconds):
                return await self._response.content.readany()

    def close(self) -> None:
        """Give the connection back, or cut it when the body was not read to its end."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


class Transport:
    def __init__(self, http: aiohttp.ClientSession, provider: str, *, connect: float) -> None:
        self._http = http
        self._provider = provider
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect)

    async def post(
        self, url: URL, body: bytes, headers: Mapping[str, str], *, seconds: float
    ) -> Exchange:
        """Send ``body``; returns when the answer's head has arrived, within ``seconds``."""
        return await self._request("POST", url, body, headers, seconds)

    async def get(self, url: URL, headers: Mapping[str, str], *, seconds: float) -> Exchange:
        return await self._request("GET", url, None, headers, seconds)

    async def _request(
        self, method: str, url: URL, body: bytes | None, headers: Mapping[str, str], seconds: float
    ) -> Exchange:
        with _naming(self._provider, "before it answered", broken=UpstreamUnavailable):
            async with asyncio.timeout(seconds):
                response = await self._http.request(
                    method,
                    url,
                    data=body,
                    headers=headers,
                    timeout=self._timeout,
                    allow_redirects=False,
                )
        return Exchange(response, self._provider)


@contextmanager
def _naming(
    provider: str, when: str, *, broken: type[UpstreamUnavailable | UpstreamTruncated]
) -> Iterator[None]:
    try:
        yield
    except TimeoutError as exc:
        raise UpstreamTimeout(f"{provider} fell silent {when}", provider=provider) from exc
    except aiohttp.ClientConnectorError as exc:
        raise UpstreamUnavailable(
            f"{provider} cannot be reached: {exc.os_error.strerror or exc.os_error}",
            provider=provider,
        ) from exc
    except (aiohttp.ClientError, OSError) as exc:
        raise broken(
            f"the connection to {provider} broke {when} ({type(exc).__name__})", provider=provider
        ) from exc
