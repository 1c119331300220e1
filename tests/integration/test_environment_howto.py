"""docs/how-to/drive-an-environment.md, followed from top to bottom."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.fakes.deployment import Deployment

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "drive-an-environment.md"
BLOCK = re.compile(r"^```(bash|json)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass
class Curl:
    """One command of the page, as curl would carry it out."""

    method: str
    url: str
    headers: dict[str, str]
    body: str | None
    stream: bool

    @classmethod
    def parse(cls, command: str, **variables: str) -> Curl:
        for name, value in variables.items():
            command = command.replace(f"${name}", value)
        words = iter(shlex.split(command.replace("\\\n", " "))[1:])
        parsed = cls("", "", {}, None, stream=False)
        for word in words:
            match word:
                case "-H":
                    name, _, value = next(words).partition(": ")
                    parsed.headers[name] = value
                case "-d":
                    parsed.body = next(words)
                case "-X":
                    parsed.method = next(words)
                case "-s" | "-sN":
                    parsed.stream = word == "-sN"
                case url:
                    assert url.startswith("http"), f"not understood: {word}"
                    parsed.url = url
        parsed.method = parsed.method or ("GET" if parsed.body is None else "POST")
        return parsed

    def send(self, http: httpx2.Client) -> str:
        """The answer's text; of a stream, what has come with the first event."""
        with http.stream(
            self.method, self.url, headers=self.headers, content=self.body
        ) as response:
            assert response.is_success, response.read()
            if not self.stream:
                return response.read().decode()
            lines: list[str] = []
            for line in response.iter_lines():
                lines.append(line)
                if line.startswith("data: "):
                    break
            return "\n".join(lines)


@pytest.fixture
def http() -> Iterator[httpx2.Client]:
    with httpx2.Client(timeout=120) as opened:
        yield opened


def test_the_commands_do_what_the_page_says(deployment: Deployment, http: httpx2.Client) -> None:
    token = deployment.token("a2a", "env:act", "env:control", subject="trainer")
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert blocks[0][1].startswith("URL=")
    answer = ""
    for kind, text in blocks[1:]:
        if kind == "json":
            assert_within(json.loads(text), json.loads(answer))
            continue
        command = Curl.parse(text, URL=deployment.url, TOKEN=token)
        answer = command.send(http)
        assert '"error"' not in answer, text
        if command.stream:
            event = json.loads(answer.rpartition("data: ")[2])
            assert event["method"] == "environment.state_changed"
            assert event["params"]["kind"] == "reset"


def assert_within(wanted: Any, found: Any) -> None:
    if isinstance(wanted, dict):
        assert isinstance(found, dict)
        for name, value in wanted.items():
            assert_within(value, found[name])
    else:
        assert wanted == found
