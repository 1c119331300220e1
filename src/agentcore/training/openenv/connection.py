"""The client's side of ``/ws``: one session of an OpenEnv server, one frame outstanding."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping

from websockets.exceptions import InvalidHandshake, InvalidMessage, InvalidStatus, InvalidURI

from agentcore.kit.jsonvalue import JsonObject, JsonValue, dumps, loads
from agentcore.training.openenv.errors import (
    PASSING,
    WRONG_ANSWERS,
    CapacityReached,
    OpenEnvConnectionError,
    OpenEnvError,
    OpenEnvHTTPError,
    OpenEnvSpecError,
    SessionLost,
)
from agentcore.training.openenv.websocket import LARGEST_MESSAGE, Coming, SocketClosed, WebSocket

FAREWELL_SECONDS = 2.0
# What can be written is 254 levels deep; messages, events and records wrap an answer in some.
DEEPEST_ANSWER = 200
ENVELOPES = 254 - DEEPEST_ANSWER
ANOTHER = "reset starts a new one"
CHECK_TOKEN, FORBIDDEN = "check the token", "forbidden"
NOT_OPENENV = "is this an OpenEnv server (0.2.0 or later), and the path prefix right?"
PASSING_HINT = "it starts, is overloaded, or what stands before it cannot reach it: try again"
# The answer that each frame gets; error frames answer all of them.
ANSWERS: Mapping[str, str] = {
    "reset": "observation",
    "step": "observation",
    "state": "state",
    "render": "render",
}
_BEGUN = {kind: b'{"type":"%b"' % kind.encode() for kind in (*ANSWERS, "close")}


class Refused(Exception):
    """The server answered a frame with an error frame; its session stays usable."""

    def __init__(self, code: str, message: str, data: JsonObject) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


class Connection:
    """A WebSocket session. Whoever shares it takes turns: answers carry no correlation id."""

    def __init__(self, socket: WebSocket) -> None:
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
            socket = await WebSocket.open(url, headers=headers, seconds=seconds)
        except TimeoutError as exc:
            raise silent(url, seconds) from exc
        except (OSError, InvalidHandshake, InvalidURI) as exc:
            raise handshake_failure(url, exc) from exc
        connection = cls(socket)
        try:
            await connection.call("state", seconds=seconds)
        except Refused:
            # An environment that cannot tell its state is still an environment.
            return connection
        except TimeoutError as exc:
            raise silent(url, seconds) from exc
        except SessionLost as exc:
            if exc.context.get("reason") == FORBIDDEN:
                raise OpenEnvHTTPError(
                    f"{url} gives no session: {exc}", hint=CHECK_TOKEN, **exc.context
                ) from exc
            raise OpenEnvConnectionError(
                f"{url} closed the session: {exc}", hint="the server's log says why", **exc.context
            ) from exc
        return connection

    @property
    def alive(self) -> bool:
        return not self._socket.ended

    async def call(self, kind: str, data: bytes | None = None, *, seconds: float) -> JsonObject:
        """Send a frame of type ``kind`` and return the ``data`` of its answer.

        After any error but ``Refused``, and when cancelled, the connection is closed: a late
        answer would pass for the answer to the next frame.

        Raises:
            Refused: an error frame that leaves the session usable.
            TimeoutError: no answer within ``seconds``.
            SessionLost: the socket is closed, or the server ended the session.
            CapacityReached: the server had no room for the session.
            OpenEnvSpecError: the answer is none.
        """
        return await self.answer(kind, self.ask(kind, data, seconds))

    def ask(self, kind: str, data: bytes | None, seconds: float) -> Coming:
        """Send a frame; ``answer`` takes what is returned, or else the connection is aborted.

        Raises:
            SessionLost, CapacityReached, OpenEnvSpecError: the server has spoken unasked, and the
                connection is closed.
        """
        socket = self._socket
        if not socket.unread:
            socket.send(_frame(kind, data))
            return socket.expect(seconds)
        try:
            raise _unasked(_parsed(socket.expect(seconds).result()))
        finally:
            socket.abort()

    async def answer(self, kind: str, coming: Coming) -> JsonObject:
        """The ``data`` of the answer to what was asked last; raises as ``call`` does."""
        try:
            self._socket.look(coming)
            answer = _parsed(await coming)
            content = answer.get("data")
            if answer.get("type") == ANSWERS[kind] and isinstance(content, dict):
                return content
            raise _failure(answer, f"a frame {kind!r}")
        except Refused:
            raise
        except SocketClosed as end:
            self._socket.abort()
            raise _lost(end) from end
        except BaseException:
            self._socket.abort()
            raise

    def abort(self) -> None:
        """Drop the socket at once, without a farewell; the server frees the session on its own."""
        self._socket.abort()

    async def close(self) -> None:
        """Say goodbye; on return the server has freed the session, unless it is slow to."""
        self._socket.send(_frame("close", None))
        await self._socket.closed(FAREWELL_SECONDS)


def handshake_failure(url: str, exc: Exception) -> OpenEnvError:
    if isinstance(exc, InvalidStatus):
        response = exc.response
        said = f"{url} answers the WebSocket handshake with"
        location = response.headers.get("Location", "")
        return status_failure(said, response.status_code, location=location)
    if isinstance(exc, ssl.SSLError):
        return tls_failure(url, exc)
    if isinstance(exc, InvalidMessage) and isinstance(exc.__cause__, EOFError):
        return unreachable(url, ConnectionResetError("the connection was closed at once"))
    if isinstance(exc, InvalidMessage):
        detail = f"{url} does not speak WebSocket: {exc.__cause__ or exc}"
        return OpenEnvSpecError(detail, hint="is the port right, and http or https?")
    if isinstance(exc, InvalidURI | InvalidHandshake):
        return OpenEnvSpecError(f"{url} does not speak WebSocket: {exc}", hint=NOT_OPENENV)
    return unreachable(url, exc)


def status_failure(said: str, status: int, *, location: str = "") -> OpenEnvError:
    """What a status that is not the expected one means for the caller."""
    detail = f"{said} HTTP {status}"
    if status in PASSING:
        return OpenEnvConnectionError(detail, hint=PASSING_HINT, upstream_status=status)
    if status in {401, 403}:
        return OpenEnvHTTPError(detail, hint=CHECK_TOKEN, upstream_status=status)
    if status == 407:
        hint = "a proxy stands between; environments are reached directly"
        return OpenEnvHTTPError(detail, hint=hint, upstream_status=status)
    if 300 <= status < 400:
        hint = f"redirects are not followed; give the URL it points to: {location or 'not said'}"
        return OpenEnvHTTPError(detail, hint=hint, upstream_status=status, location=location)
    if status in {200, 404, 405, 426}:
        return OpenEnvSpecError(detail, hint=NOT_OPENENV, upstream_status=status)
    return OpenEnvHTTPError(detail, hint=NOT_OPENENV, upstream_status=status)


def tls_failure(url: str, exc: ssl.SSLError) -> OpenEnvConnectionError:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return OpenEnvConnectionError(
            f"{url} shows a certificate that does not verify: {exc.verify_message}",
            hint="give the authority that signed it in the environment variable SSL_CERT_FILE",
        )
    return OpenEnvConnectionError(
        f"{url} does not speak TLS as it should: {exc.reason or exc}",
        hint="is it a plain server? Then the URL begins with http:",
    )


def unreachable(url: str, exc: Exception) -> OpenEnvConnectionError:
    detail = f"{url} cannot be reached: {str(exc) or type(exc).__name__}"
    hint = "does the server run, and are host, port, and http or https right?"
    return OpenEnvConnectionError(detail, hint=hint)


def _frame(kind: str, data: bytes | None) -> bytes:
    begun = _BEGUN[kind]
    return b"%b}" % begun if data is None else b'%b,"data":%b}' % (begun, data)


def silent(url: str, seconds: float) -> OpenEnvConnectionError:
    return OpenEnvConnectionError(
        f"{url} gives no answer within {seconds} s",
        hint="the server is busy or hangs: look at its log, or raise connect_timeout",
    )


def _failure(answer: JsonObject, asked: str) -> Refused | OpenEnvError:
    """What an answer means that is not the wanted one."""
    kind, data = answer.get("type"), answer.get("data")
    if not isinstance(data, dict):
        return OpenEnvSpecError("the server sent a frame without data", hint=NOT_OPENENV)
    if kind != "error":
        detail = f"the server answers {asked} with one of type {str(kind)[:80]!r}"
        return OpenEnvSpecError(detail, hint=NOT_OPENENV)
    code, message = str(data.get("code", "UNKNOWN")), str(data.get("message", "no message"))
    if code == "CAPACITY_REACHED":
        active, most = _count(data.get("active_sessions")), _count(data.get("max_sessions"))
        return CapacityReached(message, active, most)
    if code in {"SESSION_ERROR", "FACTORY_ERROR"}:
        ended = f"the server ended the session: {message}"
        # Servers of ours say why; upstream's have the code alone.
        why = {"reason": data["reason"]} if "reason" in data else {}
        return SessionLost(ended, hint=ANOTHER, server_code=code, **why)
    return Refused(code, message, data)


def _unasked(frame: JsonObject) -> OpenEnvError:
    """A server speaks unasked only to end the session."""
    failure = _failure(frame, "nothing")
    if isinstance(failure, Refused):
        return OpenEnvSpecError(f"the server sent an error unasked: {failure}", hint=NOT_OPENENV)
    return failure


def _lost(end: SocketClosed) -> OpenEnvError:
    if end.message_too_large:
        mib = LARGEST_MESSAGE // 1024**2
        return OpenEnvSpecError(
            f"the server's answer has more than {mib} MiB",
            hint="let the environment show less, or a reference instead",
        )
    if end.fault is not None and not isinstance(end.fault, EOFError):
        detail = f"the server broke the WebSocket protocol: {end.fault}"
        return OpenEnvSpecError(detail, hint=NOT_OPENENV)
    hint = ANOTHER
    if end.code == 1009:
        hint = f"the frame is larger than the server takes; send less; {ANOTHER}"
    return SessionLost(f"the server closed the session ({end})", hint=hint)


def _count(value: JsonValue) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _parsed(text: bytes) -> JsonObject:
    try:
        frame = loads(text)
    except ValueError:
        # Python's own json writes NaN and Infinity, which JSON has not.
        frame = _leniently(text)
    else:
        check_depth(text, frame, "a frame")
    if not isinstance(frame, dict):
        raise OpenEnvSpecError(
            "the server sent a frame that is not a JSON object", hint=NOT_OPENENV
        )
    return frame


def check_depth(text: bytes, value: JsonValue, what: str) -> None:
    """Refuse what could be read but not be written again.

    Raises:
        OpenEnvSpecError: ``value``, read from ``text``, is nested too deep.
    """
    # Counting is far cheaper than writing, and enough for nearly all answers. Each level takes two
    # bytes: the shortest need no counting.
    shallow = len(text) <= 2 * DEEPEST_ANSWER
    if not shallow and text.count(b"[") + text.count(b"{") > DEEPEST_ANSWER:
        check_writable(value, what)


def check_writable(value: JsonValue, what: str) -> None:
    """
    Raises:
        OpenEnvSpecError: ``value`` has no JSON form, or not inside the envelopes around it.
    """
    for _ in range(ENVELOPES):
        value = [value]
    try:
        dumps(value)
    except TypeError as exc:
        reason = str(exc)
        if "ecursion" in reason:
            reason = f"it is nested more than {DEEPEST_ANSWER} deep"
        raise OpenEnvSpecError(
            f"the server sent {what} that cannot be written as JSON: {reason}",
            hint=WRONG_ANSWERS,
        ) from exc


def _leniently(text: bytes) -> JsonValue:
    try:
        value: JsonValue = json.loads(text)
    except (ValueError, RecursionError) as exc:
        detail = f"the server sent a frame that is not JSON: {exc}"
        raise OpenEnvSpecError(detail, hint=NOT_OPENENV) from exc
    # It also lets through lone surrogates and integers of any length.
    check_writable(value, "a frame")
    return value
