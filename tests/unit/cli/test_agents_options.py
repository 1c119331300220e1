from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from agentcore.cli.main import run
from tests.fakes.json_server import JsonServer

pytestmark = pytest.mark.usefixtures("wide")

AT = "/internal/agents"
POET = {
    "agent_id": "poet",
    "name": "Poet\x1b[31m",
    "status": "active",
    "health": "healthy",
    "capabilities": ["rhyme", "count"],
    "endpoint": {"url": "https://poet.example/a2a"},
    "skills": [{"id": "ode", "tags": ["verse"]}],
    "card": {"name": "Poet"},
    "metadata": {},
}
EVENT = {
    "at": "2026-01-01T00:00:00.123456+00:00",
    "what": "draining",
    "before": "active",
    "by": "bob",
    "reason": "why",
}
ANSWERS: dict[str, object] = {
    AT: {"agents": [POET], "next_cursor": None, **POET},
    f"{AT}/discover": {"agents": [{**POET, "score": 13}], "next_cursor": "more"},
    f"{AT}/poet": {**POET, "owner": "alice", "events": [EVENT]},
    f"{AT}?limit=50&status=draining": {"agents": []},
    f"{AT}?limit=100": {"agents": [POET] * 100, "next_cursor": "c"},
    f"{AT}?limit=20&cursor=c": {"agents": [POET] * 20, "next_cursor": None},
    **{
        f"{AT}/poet/{move}": {**POET, "status": status}
        for move, status in (
            ("resume", "active"),
            ("drain", "draining"),
            ("suspend", "suspended"),
            ("terminate", "terminated"),
        )
    },
}


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["list"], ["poet", "healthy", "rhyme, count", "https://poet.example/a2a", "\\x1b[31m"]),
        (["list", "--status", "draining"], ["no agent"]),
        (["discover", "verse"], ["poet", "13", "there are more: --limit"]),
        (
            ["show", "poet"],
            ["owner: alice", "skill ode: verse", "endpoint: https://poet", "T00:00:00 ", "why"],
        ),
        (["drain", "poet"], ["poet  draining  healthy"]),
        (["suspend", "poet"], ["poet  suspended  healthy"]),
        (["resume", "poet"], ["poet  active  healthy"]),
        (["terminate", "poet"], ["poet  terminated  healthy"]),
        (["erase", "poet"], ["poet  erased"]),
        (["register", "https://poet.example/card"], ["poet  active  healthy"]),
    ],
)
def test_what_is_asked_is_shown(
    service: JsonServer, command: list[str], told: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["agents", *command, "--url", service.url, "--token", "t"]) == 0
    shown = capsys.readouterr().out
    assert [part for part in told if part not in shown] == []
    assert "\x1b[31m" not in shown, "what a foreign card says steers no terminal"
    assert run(["agents", *command, "--json", "--url", service.url, "--token", "t"]) == 0
    assert isinstance(json.loads(capsys.readouterr().out), dict)


def test_a_long_list_is_read_page_by_page(
    service: JsonServer, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["agents", "list", "--limit", "120", "--json", "--url", service.url, "--token", "t"]
    assert run(asked) == 0
    assert len(json.loads(capsys.readouterr().out)["agents"]) == 120


def test_wishes_and_cards_are_sent_as_they_are_given(
    service: JsonServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = ["--url", service.url, "--token", "t"]
    wish = ["--capability", "a", "--capability", "b", "--skill", "c", "--tag", "d", "--unhealthy"]
    assert run(["agents", "discover", "words", *wish, "--limit", "1", *to]) == 0
    path, sent = service.posted[-1]
    assert (path, sent) == (
        f"{AT}/discover",
        {
            "capabilities": ["a", "b"],
            "skills": ["c"],
            "tags": ["d"],
            "text": "words",
            "include_unhealthy": True,
            "limit": 1,
            "cursor": None,
        },
    )
    card = tmp_path / "card.json"
    card.write_text('{"name": "Poet"}')
    rest = ["--id", "poet", "--heartbeat", "60", "--idle"]
    assert run(["agents", "register", str(card), *rest, *to]) == 0
    registered = {
        "agent_card": {"name": "Poet"},
        "agent_id": "poet",
        "heartbeat_seconds": 60.0,
        "active": False,
    }
    assert service.posted[-1] == (AT, registered)
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"name": "Cook"}'))
    assert run(["agents", "register", "-", *to]) == 0
    assert service.posted[-1] == (AT, {"agent_card": {"name": "Cook"}, "active": True})
    assert run(["agents", "drain", "poet", "--reason", "upgrade", *to]) == 0
    assert service.posted[-1] == (f"{AT}/poet/drain", {"reason": "upgrade"})


def test_what_is_no_card_and_no_agent(
    service: JsonServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = ["--url", service.url, "--token", "t"]
    card = tmp_path / "card.json"
    card.write_text("name: Poet")
    assert run(["agents", "register", str(card), *to]) == 1
    assert "is not JSON" in capsys.readouterr().err
    assert run(["agents", "register", str(tmp_path / "none"), *to]) == 1
    assert "none" in capsys.readouterr().err
    assert run(["agents", "show", "a/b", *to]) == 1
    assert "could not stand in a URL" in capsys.readouterr().err
    assert service.asked == []
