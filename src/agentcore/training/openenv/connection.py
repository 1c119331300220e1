"""The client's side of ``/ws``: one session of an OpenEnv server, one frame outstanding."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
    WebSocketException,
)
from websockets.protocol import State

from agentcore.kit.jsonvalue import JsonObject, JsonValue, dumps, loads
from agentcore.training.openenv.errors import (
    PASSING,
    CapacityReached,
    OpenEnvConnectionError,
    OpenEnvError,
    OpenEnvHTTPError,
    OpenEnvSpecError,
    SessionLost,
)

LARGEST_FRAME = 100 * 1024 * 1024
FAREWELL_SECONDS = 2.0


class Refused(Exception):
    """The server answered a frame with an error frame; its session stays usable."""

    def __init__(self, code: str, message: str, data: JsonObject) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


class Connection:
    """A WebSocket session. Whoever shares it takes turns: answers carry no correlation id."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    @classmethod
    async def open(cls, url: str, *, headers: Mapping[str, str], seconds: float) -> Connection:
        """Open a session and make sure that the server has given it an environment.

        A server that refuses accepts the socket first: only an answer tells.

        Raises:
            CapacityReached: all sessions are taken.
            OpenEnvConnectionError, OpenEnvHTTPError, OpenEnvSpecError: nobody serves here.
        """
        try:
            socket = await connect(
                url,
                additional_headers=headers,
                # On loopback and in a cluster compression costs more time than it saves; tunnels
                # swallow pings and would lose the session.
                compression=None,
                ping_interval=None,
                proxy=None,
                max_size=LARGEST_FRAME,
                open_timeout=seconds,
                close_timeout=FAREWELL_SECONDS,
            )
        except (OSError, WebSocketException) as exc:
            raise _handshake_failure(url, exc) from exc
        connection = cls(socket)
        try:
            async with asyncio.timeout(seconds):
                await connection.call({"type": "state"})
        except Refused:
            # An environment that cannot tell its state is still an environment.
            return connection
        except TimeoutError as exc:
            connection.abort()
            raise OpenEnvConnectionError(f"{url} gives no answer within {seconds} s") from exc
        except SessionLost as exc:
            raise OpenEnvConnectionError(f"{url} closed the session: {exc}") from exc
        except BaseException:
            connection.abort()
            raise
        return connection

    @property
    def alive(self) -> bool:
        return self._socket.state is State.OPEN

    async def call(self, frame: JsonObject) -> JsonObject:
        """Send one frame and return the ``data`` of its answer.

        After any error but ``Refused`` the connection is of no further use.

        Raises:
            Refused: an error frame that leaves the session usable.
            SessionLost: the socket is closed, or the server ended the session.
            CapacityReached: the server had no room for the session.
        """
        # A refusal may wait behind a close: read before concluding that the sending failed.
        with suppress(ConnectionClosed):
            await self._socket.send(dumps(frame), text=True)
        try:
            answer = _parsed(await self._socket.recv(decode=False))
        except ConnectionClosed as exc:
            raise SessionLost(
                f"the server closed the session ({_closing(exc)})", hint="reset starts a new one"
            ) from exc
        data = answer.get("data")
        if not isinstance(data, dict):
            self.abort()
            raise OpenEnvSpecError("the server sent a frame without data")
        if answer.get("type") == "error":
            raise _error(data)
        return data

    def abort(self) -> None:
        """Drop the socket at once, without a farewell; the server frees the session on its own."""
        self._socket.transport.abort()

    async def close(self) -> None:
        """Say goodbye; on return the server has freed the session, unless it is slow to."""
        with suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await self._socket.send('{"type":"close"}')
                await self._socket.wait_closed()
        await self._socket.close()


def _error(data: JsonObject) -> Refused | OpenEnvError:
    code, message = str(data.get("code", "UNKNOWN")), str(data.get("message", "no message"))
    if code == "CAPACITY_REACHED":
        active, most = _count(data.get("active_sessions")), _count(data.get("max_sessions"))
        return CapacityReached(message, active, most)
    if code in {"SESSION_ERROR", "FACTORY_ERROR"}:
        return SessionLost(f"the server ended the session: {message}", server_code=code)
    return Refused(code, message, data)


def _handshake_failure(url: str, exc: Exception) -> OpenEnvError:
    if isinstance(exc, InvalidStatus):
        status = exc.response.status_code
        detail = f"{url} answers the WebSocket handshake with HTTP {status}"
        if status in PASSING:
            return OpenEnvConnectionError(detail, upstream_status=status)
        if status in {401, 403}:
            return OpenEnvHTTPError(detail, hint="check the token", upstream_status=status)
        return OpenEnvSpecError(detail, hint="is the path prefix right?", upstream_status=status)
    if isinstance(exc, InvalidURI | InvalidHandshake):
        return OpenEnvSpecError(f"{url} does not speak WebSocket: {exc}")
    return OpenEnvConnectionError(f"{url} cannot be reached: {str(exc) or type(exc).__name__}")


def _closing(exc: ConnectionClosed) -> str:
    if exc.rcvd is None:
        return "without a close frame"
    return f"code {exc.rcvd.code}{': ' if exc.rcvd.reason else ''}{exc.rcvd.reason}"


def _count(value: JsonValue) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _parsed(text: bytes) -> JsonObject:
    try:
        frame = loads(text)
    except ValueError:
        # Python's own json writes NaN and Infinity, which JSON has not.
        frame = _leniently(text)
    if not isinstance(frame, dict):
        raise OpenEnvSpecError("the server sent a frame that is not a JSON object")
    return frame


def _leniently(text: bytes) -> JsonValue:
    try:
        value: JsonValue = json.loads(text)
    except ValueError as exc:
        raise OpenEnvSpecError(f"the server sent a frame that is not JSON: {exc}") from exc
    return value
