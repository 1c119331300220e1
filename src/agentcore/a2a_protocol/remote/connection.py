"""One agent elsewhere, over HTTP: calls and streams by JSON-RPC, within limits of size and time."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import aiohttp

from agentcore.a2a_protocol.late import PeerWire
from agentcore.a2a_protocol.models.remote import RemoteAddress
from agentcore.a2a_protocol.remote.errors import (
    RemoteAgentLost,
    RemoteAgentRefused,
    RemoteAgentSilent,
    RemoteAgentUnreachable,
    RemoteAgentUnreadable,
)
from agentcore.a2a_protocol.remote.events import EventSplitter, TooLong
from agentcore.kit import jsonvalue
from agentcore.kit.jsonvalue import JsonObject, nested_deeper, object_of

JSON = "application/json"
STREAM = "text/event-stream"
CONNECT_SECONDS = 5.0
DEEPEST = 64
CHUNK = 64 * 1024
# Nothing of the request has left, whatever these say.
UNREACHED = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
    socket.gaierror,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bytes of one answer or event, bytes of one stream, seconds of silence."""

    event_bytes: int
    stream_bytes: int
    seconds: float


class Peer:
    def __init__(
        self,
        address: RemoteAddress,
        wire: PeerWire,
        session: aiohttp.ClientSession,
        *,
        headers: Mapping[str, str],
        limits: Limits,
    ) -> None:
        self.address = address
        self._wire = wire
        self.session = session
        # Packed answers would be larger than what is counted.
        plain = {"accept-encoding": "identity", "a2a-version": wire.version}
        self.headers = {**headers, **_credential(address), **plain}
        self._limits = limits

    async def call(self, method: str, params: JsonObject) -> JsonObject:
        """The answer as a ``StreamResponse``.

        Raises:
            RemoteAgentUnreachable: nothing has reached the agent.
            RemoteAgentLost: it may have heard us, and did not answer.
            RemoteAgentSilent: it had all the time it gets.
            RemoteAgentRefused: it answered with an error.
            RemoteAgentUnreadable: it answered with something else.
        """
        with self._translated():
            async with self._posted(method, params, JSON, {}) as response:
                self._check(response)
                return self._result(method, await self._whole(response))

    async def stream(
        self, method: str, params: JsonObject, *, last_event: str = ""
    ) -> AsyncGenerator[tuple[JsonObject, str]]:
        """Events and their ids, as far as the connection holds; raises as ``call``."""
        headers = {"last-event-id": last_event} if last_event else {}
        with self._translated():
            async with self._posted(method, params, f"{STREAM}, {JSON}", headers) as response:
                self._check(response)
                if response.content_type != STREAM:
                    yield self._result(method, await self._whole(response)), ""
                    return
                splitter, size = EventSplitter(self._limits.event_bytes), 0
                async for chunk in response.content.iter_any():
                    for event in splitter.feed(chunk):
                        yield self._result(method, event.data), event.id
                    # Behind what came with it: to end the task there, its name has to be known.
                    size += len(chunk)
                    if size > self._limits.stream_bytes:
                        raise TooLong(f"a stream of more than {self._limits.stream_bytes} bytes")

    def _posted(
        self, method: str, params: JsonObject, accept: str, headers: Mapping[str, str]
    ) -> aiohttp.client._RequestContextManager:
        name, asked = self._wire.request(method, self._routed(params))
        call = {"jsonrpc": "2.0", "id": 1, "method": name, "params": asked}
        return self.session.post(
            self.address.url,
            data=jsonvalue.dumps(call),
            headers={**self.headers, **headers, "content-type": JSON, "accept": accept},
            # Where it leads is not what the card says and what was checked.
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=CONNECT_SECONDS, sock_read=self._limits.seconds
            ),
        )

    def _routed(self, params: JsonObject) -> JsonObject:
        tenant = self.address.tenant
        return {**params, "tenant": tenant} if tenant else params

    def _check(self, response: aiohttp.ClientResponse) -> None:
        status = response.status
        if status == 200:
            return
        if status >= 500:
            raise RemoteAgentLost(f"{self._named} answered with status {status}", status=status)
        raise RemoteAgentRefused(
            f"{self._named} answered with status {status}",
            hint="a2a.trusted names its credential" if status in {401, 403} else "",
            status=status,
        )

    async def _whole(self, response: aiohttp.ClientResponse) -> bytes:
        chunks, size = [], 0
        async for chunk in response.content.iter_chunked(CHUNK):
            size += len(chunk)
            if size > self._limits.event_bytes:
                raise TooLong(f"an answer of more than {self._limits.event_bytes} bytes")
            chunks.append(chunk)
        return b"".join(chunks)

    def _result(self, method: str, body: bytes) -> JsonObject:
        document = jsonvalue.loads(body)
        if not isinstance(document, dict) or nested_deeper(document, DEEPEST):
            raise ValueError("no answer of JSON-RPC")
        if (error := document.get("error")) is not None:
            raise self._refusal(object_of(error))
        return self._wire.result(method, document.get("result"))

    def _refusal(self, error: JsonObject) -> RemoteAgentRefused:
        said, code = str(error.get("message", ""))[:300], error.get("code")
        return RemoteAgentRefused(
            f"{self._named} refused: {said} ({code})", rpc=code if isinstance(code, int) else None
        )

    @property
    def _named(self) -> str:
        return f"the agent {self.address.agent_id!r}"

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except UNREACHED as exc:
            raise RemoteAgentUnreachable(
                f"{self._named} cannot be reached: {_cause(exc)}",
                hint="is its server running, and at the address of its card?",
            ) from exc
        except TimeoutError as exc:
            raise RemoteAgentSilent(
                f"{self._named} has said nothing for {self._limits.seconds:g} seconds"
            ) from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise RemoteAgentLost(f"the connection to {self._named} broke: {_cause(exc)}") from exc
        except ValueError as exc:
            raise RemoteAgentUnreadable(f"{self._named} sent what is no A2A: {exc}") from exc


def _cause(error: BaseException) -> str:
    """The kind of the failure, and the system's words where there are any."""
    inner = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    words = inner.strerror if isinstance(inner, OSError) and inner.strerror else str(inner)
    return f"{type(error).__name__}: {words[:200]}" if words else type(error).__name__


def _credential(address: RemoteAddress) -> dict[str, str]:
    secret = address.trust.credential.get_secret_value()
    if not secret:
        return {}
    name = address.trust.header.lower()
    return {name: f"Bearer {secret}" if name == "authorization" else secret}
