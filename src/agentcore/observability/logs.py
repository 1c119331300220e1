"""Structured logs: one JSON object per line, with the ids of the request at hand."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from contextlib import nullcontext
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal, NamedTuple, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

LogFormat = Literal["json", "console"]
LogLevel = Literal["debug", "info", "warning", "error"]

# What a credential looks like by the name of its key; values of such keys never reach a log.
SECRET_NAMES = ("authorization", "api_key", "apikey", "password", "secret", "token")
LINE = orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE
COUNTS = ("tokens", "token_count", "prompt_tokens", "completion_tokens", "total_tokens")


# Lines of requests are written together: a system call for each costs as much as its making.
TOGETHER_SECONDS = 0.01


class RequestIds(NamedTuple):
    """What each line that is written for a request says of it."""

    request_id: str
    trace_id: str


REQUEST: ContextVar[RequestIds | None] = ContextVar("request", default=None)


class JsonHandler(logging.StreamHandler[TextIO]):
    """Lines are JSON. Those of :func:`line_writer` wait a moment for others to join them."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._waiting: list[bytes] = []

    def join(self, line: bytes) -> None:
        self._waiting.append(line)
        if len(self._waiting) > 1:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
        else:
            loop.call_later(TOGETHER_SECONDS, self.flush)

    def emit(self, record: logging.LogRecord) -> None:
        self._write_waiting()
        super().emit(record)

    def flush(self) -> None:
        self._write_waiting()
        super().flush()

    def _write_waiting(self) -> None:
        with self.lock or nullcontext():
            waiting, self._waiting = self._waiting, []
            if waiting:
                self.stream.write(b"".join(waiting).decode())


def configure_logs(*, level: LogLevel, form: LogFormat, stream: TextIO | None = None) -> None:
    """Send the logs of this process, libraries' included, to ``stream`` (stderr by default)."""
    target = sys.stderr if stream is None else stream
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _with_ids,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _redact,
    ]
    renderer: list[Processor]
    if form == "json":
        renderer = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_dumps),
        ]
    else:
        renderer = [structlog.dev.ConsoleRenderer(colors=target.isatty())]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = (JsonHandler if form == "json" else logging.StreamHandler)(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for noisy in ("uvicorn.access", "alembic", "httpx", "httpcore", "httpx2", "a2a", "websockets"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = True


def line_writer() -> Callable[..., None]:
    """``log.info`` for lines of one fixed form, at a tenth of its price.

    To be asked for after :func:`configure_logs`; without JSON logs it is ``log.info`` itself. Its
    values are written as they are: never hand it what could be a secret.
    """
    root = logging.getLogger()
    handler = root.handlers[0] if root.handlers else None
    if not isinstance(handler, JsonHandler):
        info: Callable[..., None] = structlog.get_logger().info
        return info
    join = handler.join

    def write(event: str, **members: object) -> None:
        if root.level > logging.INFO:
            return
        line = {**members, "event": event, "level": "info", "timestamp": datetime.now(UTC)}
        join(orjson.dumps(line, option=LINE))

    return write


def quiet_logger(name: str, *, without: tuple[str, ...]) -> None:
    """Drop a library's records that begin with one of ``without``: the caller tells them better."""
    logging.getLogger(name).addFilter(lambda record: not record.getMessage().startswith(without))


def _dumps(value: object, **_: object) -> str:
    return orjson.dumps(value, default=str).decode()


def _with_ids(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    if (ids := REQUEST.get()) is not None:
        for name, value in ids._asdict().items():
            event.setdefault(name, value)
    return event


def _redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    for name in event:
        lowered = name.lower()
        if lowered not in COUNTS and any(part in lowered for part in SECRET_NAMES):
            event[name] = "[redacted]"
    return event
