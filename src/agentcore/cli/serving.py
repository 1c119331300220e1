"""``agentcore serve``: bind first, then build; stop by draining."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
import uvicorn

from agentcore.cli.request_heads import KEEP_ALIVE_SECONDS
from agentcore.cli.upgrades import PlainHttp
from agentcore.cli.websockets import LeanWebSockets
from agentcore.kit.drain import Drain
from agentcore.kit.errors import StartupError
from agentcore.kit.http import origin
from agentcore.kit.servers import open_servers
from agentcore.observability.logs import configure_logs, quiet_logger
from agentcore.settings import Settings, foreign_tokens, load_settings, token_authority

if TYPE_CHECKING:
    from starlette.types import ASGIApp

log = structlog.get_logger()
BACKLOG = 2048
# Young objects of which so many are new are looked through for cycles. Requests leave hardly any,
# so the default of 700 looks often and finds nothing.
YOUNG = 10_000
# mallopt(3): what is larger is given back when it is freed; so is the heap's end beyond the other.
M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_ARENA_MAX = -3, -1, -8
LARGE_BYTES, SPARE_BYTES = 1024 * 1024, 2 * 1024 * 1024


# What is loaded behind the start (prices, the cache's client) is there by then, or a while later.
SETTLED_SECONDS = (2.0, 10.0, 60.0)


def freeze_later(loop: asyncio.AbstractEventLoop) -> None:
    """Pass over what was loaded behind the start, too: the first look through it takes 40 ms."""
    for seconds in SETTLED_SECONDS:
        loop.call_later(seconds, gc.freeze)


# A burst leaves whole pages free between what is kept; to find them takes about a millisecond.
TIDY_SECONDS = 30.0


def give_back_pages(loop: asyncio.AbstractEventLoop) -> None:
    """Return what is free inside of the heap to the system, now and from time to time."""
    with suppress(AttributeError, OSError):
        # Other C libraries have no such call.
        ctypes.CDLL(None).malloc_trim(0)
        loop.call_later(TIDY_SECONDS, give_back_pages, loop)


class Server(uvicorn.Server):
    """Finishes what is in flight before anything is closed under it."""

    def __init__(self, config: uvicorn.Config, drain: Drain, drain_seconds: float) -> None:
        super().__init__(config)
        self._drain = drain
        self._drain_seconds = drain_seconds
        self.url = ""
        self.reload: Callable[[], None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            # What was built lives on; to look through it takes 50 ms, in which nobody is answered.
            gc.collect()
            gc.freeze()
            freeze_later(asyncio.get_running_loop())
            give_back_pages(asyncio.get_running_loop())
            if self.reload is not None:
                asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.reload)
            log.info("listening", url=self.url)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        log.info("draining", seconds=self._drain_seconds)
        # A second signal means now.
        if not await self._drain.drain(self._drain_seconds, hurry=lambda: self.force_exit):
            log.warning("requests were still running when the service stopped")
        await super().shutdown(sockets)


def run_service(config: Path | None, overrides: Mapping[str, Any]) -> int:
    """Serve until SIGTERM or SIGINT; the exit code is 0 when everything was drained."""
    share_one_heap()
    settings = load_settings(config, overrides=overrides)
    configure_logs(level=settings.server.log_level, form=settings.server.log_format)
    quiet_logger("uvicorn.error", without=("Traceback", "Application startup failed"))
    if settings.security.auth and settings.security.jwt_secret.get_secret_value():
        # One that is too weak is refused before servers are started for nothing.
        token_authority(settings)
    if settings.security.auth:
        foreign_tokens(settings)
    listening = bind(settings)
    host, port = listening.getsockname()[:2]
    settings = settings.model_copy(
        update={"server": settings.server.model_copy(update={"port": port})}
    )
    with listening, warming(settings):
        reread = partial(load_settings, config, overrides=overrides)
        return _serve_at(listening, settings, origin(host, port), reread)


@contextmanager
def warming(settings: Settings) -> Iterator[None]:
    """Start the embedded servers in a thread while this one imports the application.

    The thread's part ends with the block; its failures are told by those who open the servers.
    """
    over = threading.Event()

    async def warm() -> None:
        async with open_servers(settings.home, settings.database, settings.cache):
            await asyncio.to_thread(over.wait)

    def run() -> None:
        with suppress(StartupError):
            asyncio.run(warm())

    thread = threading.Thread(target=run, name="warming", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def lasting() -> Iterator[None]:
    """Nothing of what is made here becomes garbage: looking for it would only take time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
        gc.enable()


def _serve_at(
    listening: socket.socket, settings: Settings, url: str, reread: Callable[[], Settings]
) -> int:
    with lasting():
        from agentcore.app import create_app, drain_of, reload_of, startup_error_of

        app = create_app(settings, reread)
    return_large_memory()
    server = build_server(app, drain_of(app), settings)
    server.reload = reload_of(app)
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            with_room(partial(runner.run, serve_until_stopped(server, listening, url)))
    except SystemExit:
        # uvicorn leaves like this when the application does not start.
        if (error := startup_error_of(app)) is not None:
            raise error from None
        raise
    return 0


def with_room(run: Callable[[], object]) -> None:
    """``run``, with room for what it calls on the same piece of Python's stack.

    The stack grows by pieces of 16 KiB (CPython 3.11), which go back to the system as soon as they
    are empty. Where one ends just above the event loop, each request takes one and gives it back,
    with a page fault. A frame as large as this one brings a piece of 64 KiB, half of it free.
    """
    run()


with_room.__code__ = with_room.__code__.replace(co_stacksize=4200)


def share_one_heap() -> None:
    """Have all threads use one heap; to be called before there is a second one.

    The C library gives each thread a heap of its own against waiting, but threads of Python wait
    for each other anyway; what is free in one heap is not there for another: 8 MiB under load.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def return_large_memory() -> None:
    """Have the C library give large buffers back when they are freed, as it does until the first.

    From then on it keeps them, and what is small lies between them. What a body of 64 KiB takes is
    kept: to get it anew for each would cost 35 page faults and a fifth of the call.
    """
    with suppress(AttributeError, OSError):
        # Other C libraries have no such call, or do not need it.
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(M_TRIM_THRESHOLD, SPARE_BYTES)


def build_server(app: ASGIApp, drain: Drain, settings: Settings) -> Server:
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        # Nobody asks where a request comes from, so nobody has to be believed about it.
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        http=PlainHttp,
        ws=LeanWebSockets,
        ws_max_size=16 * 1024 * 1024,
        ws_ping_interval=None,
        ws_per_message_deflate=False,
    )
    return Server(config, drain, settings.server.drain_seconds)


async def serve_until_stopped(server: Server, listening: socket.socket, url: str) -> None:
    # uvicorn raises the signal again when it is done; by then there is nothing left to kill.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    server.url = url
    await server.serve(sockets=[listening])


def bind(settings: Settings) -> socket.socket:
    """The listening socket, taken before anything is built, so that a clash costs nothing."""
    host, port = settings.server.host, settings.server.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where the protocol is spelled out.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as exc:
        listening.close()
        raise StartupError(
            f"cannot listen on {host}:{port}: {exc.strerror}",
            hint="stop what uses it, or give another port: --port 8002",
        ) from exc
    listening.set_inheritable(True)
    return listening


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it exists; it is not built for Windows."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
