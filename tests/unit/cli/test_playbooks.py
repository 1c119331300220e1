from __future__ import annotations

import json

import pytest

from agentcore.cli.main import run
from tests.fakes.json_server import JsonServer

pytestmark = pytest.mark.usefixtures("wide")

AT = "/internal/context/playbooks/my%20agent"
ESTIMATE = {"count": 40, "mean": 0.625, "low": 0.41, "high": 0.8}
COMPARED = {
    "with_delta": ESTIMATE,
    "without_delta": ESTIMATE | {"count": 0, "mean": None},
    "difference_low": -0.1,
    "difference_high": 0.325,
    "evidence_better": 21.4,
    "evidence_worse": 1.0,
}
TRIED = {
    "experiment_id": "e-1",
    "delta_id": "d-1",
    "phase": "ended",
    "stage": 100,
    "outcome": "regressed",
    "canary": COMPARED,
    "watch": COMPARED | {"evidence_worse": 23.5},
}


def bullet(helpful: int, **more: object) -> dict[str, object]:
    text = {"text": "Ask first.", "helpful": helpful, "harmful": 1}
    return {"section": "checks", "bullet": {**text, **more}}


ENTRY = {
    "delta_id": "d-1",
    "kind": "delta",
    "applied": False,
    "reason": "in_trial",
    "detail": "trial 4",
    "calibrated": 0.26,
    "result_version": 7,
    "reasoning": "seen\ntwice " + "z" * 2000,
    "generated_at": "2026-01-01T00:00:00Z",
    "confidence": 0.3,
}
ANSWERS: dict[str, object] = {
    f"{AT}/render": {"text": "## PLAYBOOK"},
    f"{AT}/history": {"items": [ENTRY], "next_cursor": None},
    f"{AT}/deltas": {"items": [ENTRY], "next_cursor": None},
    f"{AT}/experiments": {"items": [TRIED], "next_cursor": None},
    f"{AT}/rollback": {"version": 8},
    f"{AT}/diff": {
        "from_version": 1,
        "to_version": 7,
        "owner": [{"key": "goals", "change": "changed", "before": ["a"], "after": ["a", "b"]}],
        "bullets": [
            {"id": "b1", "change": "added", "before": None, "after": bullet(3)},
            {"id": "b2", "change": "changed", "before": bullet(3), "after": bullet(9)},
            {
                "id": "b3",
                "change": "changed",
                "before": bullet(3),
                "after": bullet(3, status="retired", pinned=True),
            },
        ],
    },
    "/internal/context/playbooks/idle/render": {"text": ""},
    f"{AT}/environment": {"environment": "maze"},
    "/internal/context/playbooks/idle/environment": {"environment": None},
    "/internal/context/playbooks/played/experiments": {
        "items": [TRIED | {"phase": "paired", "stage": 0, "environment": "maze", "watch": None}],
        "next_cursor": None,
    },
    "/internal/context/evolution/status/idle": {"last_evolution": None, "status": "idle"},
    "/internal/context/evolution/trigger": {"enqueued": True, "position": 4},
    "/internal/context/playbooks/idle/experiments": {"items": []},
    "/internal/context/playbooks/idle/diff": {"from_version": 1, "to_version": 1},
}


VERSIONS = 450


def pages(path: str, *bounds: tuple[int, int]) -> dict[str, object]:
    """A list of 450 entries, by what is asked for; its cursors are positions."""
    found: dict[str, object] = {}
    for start, end in bounds:
        cursor = f"&cursor={start}" if start else ""
        items = [{"result_version": VERSIONS - number} for number in range(start, end)]
        following = str(end) if end < VERSIONS else None
        query = f"?limit={end - start if end < VERSIONS else 200}{cursor}"
        found[path + query] = {"items": items, "next_cursor": following}
    return found


LONG = ("history", "deltas", "experiments")
for _what in LONG:
    ANSWERS |= pages(
        f"/internal/context/playbooks/long/{_what}",
        (0, 20),
        (0, 200),
        (200, 201),
        (200, 400),
        (400, VERSIONS),
    )


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["show", "my agent"], ["## PLAYBOOK"]),
        (["show", "idle"], ["the playbook is empty"]),
        (["status", "idle"], ["last_evolution: never", "status: idle"]),
        (["evolve", "idle"], ["enqueued at position 4"]),
        (["history", "my agent"], ["     7  delta  2026-01-01", "seen twice zzz", "z…"]),
        (["deltas", "my agent"], ["in_trial  confidence 0.30, counted as 0.26", "  trial 4\n"]),
        (["history", "long"], ["   450  ", "   431  ", "there are older ones: --limit 200"]),
        (["rollback", "my agent", "3"], ["version 8 has the content of version 3"]),
        (
            ["diff", "my agent", "1"],
            [
                "from version 1 to 7",
                "checks: Ask first. (+3 -1)",
                "a, b",
                "added",
                " (+9 -1)",
                "checks: Ask first. retired pinned (+3 -1)",
            ],
        ),
        (["diff", "idle", "1"], ["no difference"]),
        (
            ["experiment", "my agent"],
            [
                "0.62 (0.41 to 0.80, n=40)",
                "no outcome yet",
                "-0.10 to +0.33",
                "experiment e-1  ended: regressed",
                "canary, better",
                "hold-out",
                "better 21.4, worse 1",
                "better 21.4, worse 23.5",
                "decides at 20",
            ],
        ),
        (["experiment", "idle"], ["nothing was tried yet"]),
        (["experiment", "played"], ["e-1  running", "pairs of episodes in maze\n"]),
        (["environment", "my agent"], ["maze"]),
        (["environment", "my agent", "town"], ["maze"]),
        (["environment", "idle", "--none"], ["no environment is bound"]),
    ],
)
def test_what_is_asked_is_shown(
    service: JsonServer, command: list[str], told: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["ace", *command, "--url", service.url, "--token", "t"]) == 0
    shown = capsys.readouterr().out
    assert [part for part in told if part not in shown] == []
    assert max(map(len, shown.splitlines())) < 350


def test_an_environment_is_bound_and_unbound(
    service: JsonServer, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--url", service.url, "--token", "t"]
    assert run(["ace", "environment", "my agent", "town", *options]) == 0
    assert service.posted == [(f"{AT}/environment", {"environment": "town"})]
    assert run(["ace", "environment", "my agent", "--none", *options]) == 0
    assert run(["ace", "environment", "my agent", "town", "--none", *options]) == 1
    assert "--none" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["history", "deltas", "experiment"])
def test_lists_are_read_page_by_page_to_the_end(
    service: JsonServer, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["ace", command, "long", "--limit", "1000", "--json", "--url", service.url]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [one["result_version"] for one in document["items"]] == [*range(VERSIONS, 0, -1)]
    assert (document["next_cursor"], len(service.asked)) == (None, 3)
    assert run(["ace", command, "long", "--limit", "201", "--json", "--url", service.url]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (len(document["items"]), document["next_cursor"]) == (201, "201")


@pytest.mark.parametrize(
    "command",
    [
        ["show", "my agent"],
        ["evolve", "my agent"],
        ["status", "my agent"],
        ["history", "my agent"],
        ["deltas", "my agent"],
        ["diff", "my agent", "1"],
        ["rollback", "my agent", "3"],
        ["experiment", "my agent"],
        ["environment", "my agent"],
    ],
    ids=lambda command: str(command[0]),
)
def test_each_command_answers_in_json(
    service: JsonServer, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["ace", *command, "--json", "--url", service.url, "--token", "t"]) == 0
    assert isinstance(json.loads(capsys.readouterr().out), dict)


@pytest.mark.parametrize("agent_id", ["", "a/b", ".", ".."])
def test_what_could_not_stand_in_a_path_is_not_asked_for(
    service: JsonServer, agent_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["show"], ["status"], ["rollback"]):
        more = ["3"] if command == ["rollback"] else []
        assert run(["ace", *command, agent_id, *more, "--url", service.url, "--token", "t"]) == 1
        assert repr(agent_id) in capsys.readouterr().err
    assert service.asked == []


def test_a_trial_that_nobody_can_play_says_why(
    service: JsonServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = TRIED | {"environment": "maze", "phase": "paired", "watch": None, "disturbed": "away"}
    monkeypatch.setitem(ANSWERS, f"{AT}/experiments", {"items": [trial]})
    assert run(["ace", "experiment", "my agent", "--url", service.url, "--token", "t"]) == 0
    told = capsys.readouterr().out
    assert "  disturbed, and tried again by itself: away\n  pairs of episodes in maze\n" in told


def test_what_could_steer_a_terminal_is_escaped(
    service: JsonServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(ANSWERS, f"{AT}/render", {"text": "a\x1b[31mb"})
    entry = ENTRY | {"reason": "\x1b[31m", "reasoning": "\x1b[31m"}
    monkeypatch.setitem(ANSWERS, f"{AT}/deltas", {"items": [entry]})
    for command in ("show", "deltas"):
        for options in ([], ["--json"]):
            assert run(["ace", command, "my agent", *options, "--url", service.url]) == 0
            assert "\x1b" not in capsys.readouterr().out


def test_experiments_are_started_and_stopped(
    service: JsonServer, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--url", service.url, "--token", "t"]
    assert run(["ace", "experiment", "my agent", "--start", "d-1", *where]) == 0
    assert run(["ace", "experiment", "my agent", "--stop", "e-1", *where]) == 0
    assert service.posted == [
        (f"{AT}/experiments", {"delta_id": "d-1"}),
        (f"{AT}/experiments/e-1/stop", {}),
    ]
    capsys.readouterr()
    assert run(["ace", "experiment", "a", "--start", "d", "--stop", "e", *where]) != 0
    assert "give one of them" in capsys.readouterr().err
