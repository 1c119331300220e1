"""Where the keys of an identity provider come from: an address or a file, read again in time.

Requests never wait for keys that are known. One reading runs at a time, in a thread, so that it
outlasts the request that caused it, and ends within seconds whatever the other side does.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Generic, Protocol, TypeVar
from urllib.parse import urlsplit

import structlog

from agentcore.kit.clock import Clock
from agentcore.kit.errors import StartupError, Unavailable, first_line
from agentcore.kit.http import bounded
from agentcore.kit.loopback import is_loopback

# A key that was withdrawn is refused this much later.
FRESH_SECONDS = 300.0
# How long keys are good while nobody can be asked.
KEPT_SECONDS = 3600.0
# Callers that name unknown keys must not make us a nuisance to the provider.
PAUSE_SECONDS = 60.0
FETCH_SECONDS = 5.0
# Name lookups cannot be cut short: nobody waits for them longer than this.
PATIENCE_SECONDS = FETCH_SECONDS + 1
MOST_BYTES = 256 * 1024

KeysT = TypeVar("KeysT")
log = structlog.get_logger()


class KeySource(Protocol):
    """Both may block, ``mark`` for no longer than looking at a local file takes."""

    def mark(self) -> object:
        """Differs from the last one when it must be read again."""
        ...

    def read(self) -> bytes:
        """Raises ``Unavailable`` where it cannot be read now."""
        ...


class KeyFile:
    def __init__(self, path: Path) -> None:
        self._path = path

    def mark(self) -> object:
        try:
            found = self._path.stat()
        except OSError:
            return None
        # The node: whole directories of mounted secrets are exchanged with their times.
        return found.st_ino, found.st_mtime_ns, found.st_size

    def read(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                data = file.read(MOST_BYTES + 1)
        except OSError as exc:
            raise Unavailable(f"{self._path} cannot be read: {exc.strerror}") from exc
        if len(data) > MOST_BYTES:
            raise Unavailable(f"{self._path} has more than {MOST_BYTES} bytes")
        return data


class KeyAddress:
    def __init__(self, url: str, seconds: float = FETCH_SECONDS) -> None:
        self._url = url
        self._seconds = seconds

    def mark(self) -> object:
        return self._url

    def read(self) -> bytes:
        return asyncio.run(self._fetched())

    async def _fetched(self) -> bytes:
        import httpx2

        # Loading the certificates takes 0.1 s: not for plain HTTP.
        verify = ssl.create_default_context() if self._url.startswith("https:") else False
        # Bytes as they are: what is small on the wire must not grow here.
        headers = {"accept": "application/json", "accept-encoding": "identity"}
        try:
            async with (
                asyncio.timeout(self._seconds),
                httpx2.AsyncClient(timeout=self._seconds, verify=verify, trust_env=False) as http,
                http.stream("GET", self._url, headers=headers) as response,
            ):
                if response.status_code != 200:
                    raise Unavailable(f"{self._url} answers {response.status_code}")
                data = await bounded(response.aiter_raw(), MOST_BYTES)
                if len(data) > MOST_BYTES:
                    raise Unavailable(f"{self._url} sends more than {MOST_BYTES} bytes")
                return data
        except (TimeoutError, httpx2.TimeoutException) as exc:
            raise Unavailable(f"{self._url} took longer than {self._seconds:g} s") from exc
        except (httpx2.HTTPError, httpx2.InvalidURL) as exc:
            raise Unavailable(f"{self._url} cannot be reached: {first_line(exc)}") from exc


def key_source(place: str) -> KeySource:
    """What stands for the setting: an address or a path.

    Raises:
        StartupError: an address that is neither https nor on loopback, or no address and no path.
    """
    if place.lstrip().startswith("{"):
        raise StartupError(
            "security.jwks holds keys where their place is meant",
            hint="give the path of the file as it is, without 'file:'",
        )
    if "://" not in place:
        return KeyFile(Path(place))
    try:
        parts = urlsplit(place)
        host, known = parts.hostname or "", parts.port is None or parts.port > 0
    except ValueError:
        raise StartupError("security.jwks is no address", hint=_HINT) from None
    if parts.username or parts.password:
        raise StartupError("security.jwks holds credentials", hint="public keys need none")
    safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    if not host or not known or not safe:
        raise StartupError(f"security.jwks cannot be {place[:200]!r}", hint=_HINT)
    return KeyAddress(place)


class KeySet(Generic[KeysT]):
    """The keys at ``source`` as ``parse`` makes them, which raises ``Unavailable``."""

    def __init__(self, source: KeySource, parse: Callable[[bytes], KeysT], clock: Clock) -> None:
        self._source = source
        self._parse = parse
        self._clock = clock
        self._known: tuple[KeysT, float] | None = None
        self._trouble = ""
        self._asked_at = -math.inf
        self._mark: object = self
        self._reading: asyncio.Future[None] | None = None

    async def held(self) -> KeysT:
        """What is known, read before where it must be.

        Raises:
            Unavailable: nothing is, for the source cannot be read.
        """
        if self._source.mark() != self._mark:
            await self._finished(self._begun())
        elif self._age() >= KEPT_SECONDS:
            await self._asked()
        elif self._age() >= FRESH_SECONDS and self._may_ask():
            self._begun()
        if self._known is None or self._age() >= KEPT_SECONDS:
            raise self._away()
        return self._known[0]

    async def renewed(self) -> KeysT:
        """The same after asking again, where the last time was long enough ago.

        Raises:
            Unavailable: the source cannot be read, so that nobody knows what is new.
        """
        await self._asked()
        if self._trouble:
            raise self._away()
        return await self.held()

    async def _asked(self) -> None:
        if self._flying() or self._may_ask():
            await self._finished(self._begun())

    def _begun(self) -> asyncio.Future[None]:
        """The reading that runs; one that is new where none does."""
        if self._reading is None or self._reading.done():
            self._asked_at = self._clock.monotonic()
            # Before reading: what changes meanwhile is seen next time.
            self._mark = self._source.mark()
            self._reading = asyncio.get_running_loop().run_in_executor(None, self._read)
        return self._reading

    async def _finished(self, reading: asyncio.Future[None]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await asyncio.shield(reading)

    def _read(self) -> None:
        """In a thread: each attribute is set whole."""
        try:
            keys = self._parse(self._source.read())
        except Unavailable as error:
            self._trouble = error.detail
            log.warning("keys of the identity provider cannot be read", reason=error.detail)
        else:
            self._known = keys, self._clock.monotonic()
            self._trouble = ""

    def _flying(self) -> bool:
        return self._reading is not None and not self._reading.done()

    def _age(self) -> float:
        return math.inf if self._known is None else self._clock.monotonic() - self._known[1]

    def _may_ask(self) -> bool:
        return self._clock.monotonic() - self._asked_at >= PAUSE_SECONDS

    def _away(self) -> Unavailable:
        wait = self._asked_at + PAUSE_SECONDS - self._clock.monotonic()
        # What was wrong there is for the operator, who finds it in the log.
        return Unavailable(
            "the keys of the identity provider cannot be read now, so its tokens cannot be judged",
            hint="try again later; the service's log has the reason",
            retry_after=max(1.0, wait),
        )


_HINT = "give an https URL (http on loopback only), or the path of a JWKS file"
