"""Sockets and frames as they are: nothing is corrected, and what went over them can be shown."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException

from agentcore.kit.jsonvalue import JsonObject, JsonValue, nested_deeper
from agentcore.training.openenv.connection import DEEPEST_ANSWER

# The errors that a server sends when it ends the session, or never begins it.
FATAL = frozenset({"CAPACITY_REACHED", "FACTORY_ERROR", "SESSION_ERROR"})
LARGEST_FRAME = 64 * 1024 * 1024
FAREWELL_SECONDS = 2.0
LINES_KEPT, LONGEST_LINE = 12, 300
TOO_DEEP = f"a frame nested more than {DEEPEST_ANSWER} deep"


class WireFault(Exception):
    """What came is not what was waited for; ``came`` says what it was instead."""

    def __init__(self, came: str) -> None:
        super().__init__(came)
        self.came = came


class SocketClosed(WireFault):
    """The server closed the socket; ``close_code`` is 1006 where it did without a close frame."""

    def __init__(self, close_code: int, reason: str = "") -> None:
        super().__init__(f"the socket was closed ({close_code}{reason and ': '}{reason})")
        self.close_code = close_code


class NoAnswer(WireFault):
    pass


class NoSession(WireFault):
    """The server lets nobody in; ``code`` is its own or the HTTP status of the handshake."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class NoServer(WireFault):
    """Nothing listens there, or the URL is none."""


class Transcript:
    """The last lines of a conversation, ``>`` sent and ``<`` received."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)

    def note(self, direction: str, text: str | bytes) -> None:
        shown = text if isinstance(text, str) else repr(text[:LONGEST_LINE])
        if len(shown) > LONGEST_LINE:
            shown = f"{shown[:LONGEST_LINE]}... ({len(shown)} characters)"
        self._lines.append(f"{direction} {shown}")

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(self._lines)


class Talk:
    """One socket."""

    def __init__(self, socket: ClientConnection, seconds: float, transcript: Transcript) -> None:
        self._socket = socket
        self._seconds = seconds
        self._transcript = transcript

    async def send(self, text: str | bytes) -> None:
        self._transcript.note(">", text)
        # A refusal may wait behind a close: what was received is read first.
        with suppress(ConnectionClosed):
            await self._socket.send(text)

    async def next(self, seconds: float | None = None) -> JsonObject:
        """The next frame.

        Raises:
            SocketClosed, NoAnswer: none comes.
            WireFault: it is no JSON object.
        """
        patience = self._seconds if seconds is None else seconds
        try:
            async with asyncio.timeout(patience):
                text = await self._socket.recv()
        except TimeoutError as exc:
            self._transcript.note("<", f"(nothing within {patience:g} s)")
            raise NoAnswer(f"nothing within {patience:g} s") from exc
        except ConnectionClosed as exc:
            received = exc.rcvd
            closed = SocketClosed(received.code, received.reason) if received else _cut()
            self._transcript.note("<", f"({closed})")
            raise closed from exc
        self._transcript.note("<", text)
        return _frame(text)

    async def raw(self, text: str | bytes) -> JsonObject:
        await self.send(text)
        return await self.next()

    async def ask(self, kind: str, data: JsonValue = None) -> JsonObject:
        return await self.raw(frame_text(kind, data))

    async def post(self, kind: str, data: JsonValue = None) -> None:
        """Send without waiting for the answer."""
        await self.send(frame_text(kind, data))

    async def silence(self, seconds: float) -> None:
        """Nothing comes for a while; raises WireFault when something does."""
        try:
            frame = await self.next(seconds)
        except NoAnswer:
            return
        raise WireFault(f"a frame that nobody asked for: {shortened(frame)}")

    async def closing(self) -> int:
        """The close code, once the server has closed; raises WireFault when it speaks instead."""
        try:
            frame = await self.next()
        except SocketClosed as closed:
            return closed.close_code
        raise WireFault(f"a frame: {shortened(frame)}")

    def cut(self) -> None:
        """As when the machine is gone: no farewell."""
        self._transcript.note(">", "(cut without a close frame)")
        self._socket.transport.abort()


class _ConnectHere(connect):
    """Follows no redirect: the headers hold a token for this server and no other."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


def frame_text(kind: str, data: JsonValue = None) -> str:
    frame: JsonObject = {"type": kind} if data is None else {"type": kind, "data": data}
    return json.dumps(frame, separators=(",", ":"), ensure_ascii=False)


@asynccontextmanager
async def talking(
    url: str, *, headers: Mapping[str, str], seconds: float, transcript: Transcript
) -> AsyncIterator[Talk]:
    """A socket to ``url`` (ws: or wss:), whatever the server then says.

    Raises:
        NoSession: the handshake is refused.
        NoServer: there is nobody to shake hands with.
    """
    transcript.note(">", f"(socket to {url})")
    try:
        socket = await _ConnectHere(
            url,
            additional_headers=dict(headers),
            compression=None,
            ping_interval=None,
            proxy=None,
            max_size=LARGEST_FRAME,
            open_timeout=seconds,
            close_timeout=FAREWELL_SECONDS,
        )
    except InvalidStatus as exc:
        status = exc.response.status_code
        transcript.note("<", f"(HTTP {status})")
        raise NoSession(f"HTTP {status}", "the WebSocket handshake is refused") from exc
    except (OSError, WebSocketException, InvalidURI) as exc:
        said = str(exc) or type(exc).__name__
        transcript.note("<", f"({said})")
        raise NoServer(said) from exc
    try:
        yield Talk(socket, seconds, transcript)
    finally:
        await socket.close()


@asynccontextmanager
async def admitted(
    url: str, *, headers: Mapping[str, str], seconds: float, transcript: Transcript
) -> AsyncIterator[Talk]:
    """A socket whose session was let in: that shows only in the answer to a first frame.

    Raises:
        NoSession, NoServer: it was not.
    """
    async with talking(url, headers=headers, seconds=seconds, transcript=transcript) as talk:
        data = refusal_of(await _first(talk))
        code = None if data is None else data.get("code")
        if data is not None and isinstance(code, str) and code in FATAL:
            raise NoSession(code, str(data.get("message", "")))
        yield talk


async def _first(talk: Talk) -> JsonObject:
    try:
        return await talk.ask("state")
    except (SocketClosed, NoAnswer) as exc:
        code = "CLOSED" if isinstance(exc, SocketClosed) else "SILENT"
        raise NoSession(code, exc.came) from exc
    except WireFault:
        # What is wrong with the answer is for others to judge: there is a session.
        return {}


def refusal_of(frame: JsonObject) -> JsonObject | None:
    """The ``data`` of an error frame."""
    data = frame.get("data")
    return data if frame.get("type") == "error" and isinstance(data, dict) else None


def shortened(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST_LINE else f"{text[:LONGEST_LINE]}..."


def socket_url(base: str, query: str = "", path: str = "/ws") -> str:
    return base.rstrip("/").replace("http", "ws", 1) + path + query


def _cut() -> SocketClosed:
    return SocketClosed(1006, "without a close frame")


def _frame(text: str | bytes) -> JsonObject:
    if not isinstance(text, str):
        raise WireFault("a binary frame")
    try:
        # NaN passes here: whether it may is judged where it is looked for.
        value = cast("JsonValue", json.loads(text))
    except RecursionError as exc:
        raise WireFault(TOO_DEEP) from exc
    except ValueError as exc:
        raise WireFault(f"a frame that is no JSON: {shortened(text)}") from exc
    if nested_deeper(value, DEEPEST_ANSWER):
        raise WireFault(TOO_DEEP)
    if not isinstance(value, dict):
        raise WireFault(f"a frame that is no object: {shortened(text)}")
    return value
