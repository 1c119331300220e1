from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from agentcore.observability.logs import configure_logs, line_writer, quiet_logger


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    stream = io.StringIO()
    configure_logs(level="info", form="json", stream=stream)
    yield stream
    root.handlers[:], root.level = before[0], before[1]
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_the_ids_of_the_request(written: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(request_id="r1", trace_id="t1"):
        structlog.get_logger().info("hello", tokens=3)
    line = lines(written)[0]
    assert (line["event"], line["level"], line["tokens"]) == ("hello", "info", 3)
    assert (line["request_id"], line["trace_id"]) == ("r1", "t1")


def test_libraries_log_in_the_same_form(written: io.StringIO) -> None:
    logging.getLogger("some.library").warning("careful")
    assert lines(written)[0]["logger"] == "some.library"


def test_secrets_are_redacted_by_their_names(written: io.StringIO) -> None:
    structlog.get_logger().info("call", api_key="sk-1", authorization="Bearer x", total_tokens=4)
    text = written.getvalue()
    assert "sk-1" not in text
    assert "Bearer" not in text
    assert lines(written)[0]["total_tokens"] == 4


def test_lower_levels_are_not_written(written: io.StringIO) -> None:
    structlog.get_logger().debug("noise")
    assert written.getvalue() == ""


def test_an_exception_is_one_line(written: io.StringIO) -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger().exception("failed")
    assert len(lines(written)) == 1
    assert "broken" in str(lines(written)[0]["exception"])


def test_a_quiet_logger_drops_what_it_is_told_to(written: io.StringIO) -> None:
    quiet_logger("loud.library", without=("Traceback",))
    logging.getLogger("loud.library").error("Traceback (most recent call last)")
    logging.getLogger("loud.library").error("something else")
    assert [line["event"] for line in lines(written)] == ["something else"]


def test_the_line_writer_writes_what_the_logger_would(written: io.StringIO) -> None:
    write = line_writer()
    write("request", status=200, request_id="r1")
    structlog.get_logger().info("request", status=200, request_id="r1")
    fast, slow = lines(written)
    assert fast.keys() == slow.keys()
    assert {name: value for name, value in fast.items() if name != "timestamp"} == {
        name: value for name, value in slow.items() if name != "timestamp"
    }
    assert str(fast["timestamp"]).endswith("Z")


def test_the_line_writer_keeps_to_the_level(written: io.StringIO) -> None:
    write = line_writer()
    logging.getLogger().setLevel("WARNING")
    write("request", status=200)
    assert written.getvalue() == ""
