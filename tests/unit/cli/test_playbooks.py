from __future__ import annotations

from collections.abc import Iterator

import pytest

from agentcore.cli.main import run
from tests.fakes.json_server import JsonServer, json_server

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
BULLET = {"section": "checks", "bullet": {"text": "Ask first.", "helpful": 3, "harmful": 1}}
ENTRY = {
    "delta_id": "d-1",
    "kind": "delta",
    "applied": False,
    "reason": "in_trial",
    "result_version": 7,
    "reasoning": "seen twice",
}
ANSWERS: dict[str, object] = {
    f"{AT}/render": {"text": "## PLAYBOOK"},
    f"{AT}/history": {"items": [ENTRY]},
    f"{AT}/deltas": {"items": [ENTRY]},
    f"{AT}/experiments": {"items": [TRIED]},
    f"{AT}/rollback": {"version": 8},
    f"{AT}/diff": {
        "from_version": 1,
        "to_version": 7,
        "owner": [{"key": "goals", "change": "changed", "before": ["a"], "after": ["a", "b"]}],
        "bullets": [{"id": "b1", "change": "added", "before": None, "after": BULLET}],
    },
    "/internal/context/playbooks/idle/experiments": {"items": []},
    "/internal/context/playbooks/idle/diff": {"from_version": 1, "to_version": 1},
}


@pytest.fixture
def service() -> Iterator[JsonServer]:
    with json_server(ANSWERS) as served:
        yield served


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "240")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["show", "my agent"], ["## PLAYBOOK"]),
        (["history", "my agent"], ["7", "seen twice"]),
        (["deltas", "my agent"], ["d-1", "in_trial"]),
        (["rollback", "my agent", "3"], ["version 8 has the content of version 3"]),
        (
            ["diff", "my agent", "1"],
            ["from version 1 to 7", "checks: Ask first. (+3 -1)", "a, b", "added"],
        ),
        (["diff", "idle", "1"], ["no difference"]),
        (
            ["experiment", "my agent"],
            [
                "0.62 (0.41 to 0.80, n=40)",
                "no outcome yet",
                "-0.10 to +0.33",
                "canary: better",
                "90 %: regressed",
                "21.4",
                "23.5",
                "decides at 20",
            ],
        ),
        (["experiment", "idle"], ["nothing was tried yet"]),
    ],
)
def test_what_is_asked_is_shown(
    service: JsonServer, command: list[str], told: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["ace", *command, "--url", service.url, "--token", "t"]) == 0
    shown = capsys.readouterr().out
    assert [part for part in told if part not in shown] == []


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
