from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agentcore.training.openenv.runtimes.records import Record, ReplicaState, State, Wanted

WANTED = Wanted(
    generation=3,
    command=("/bin/serve", "{port}"),
    environment={"A": "b"},
    folder="/",
    replicas=2,
    version="1.0.0",
    drain_seconds=1.5,
)
REPLICA = ReplicaState(slot=1, pid=7, born="9", role="fresh", ready=True, exits=0, detail="")


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    record = Record(tmp_path / "deployments" / "echo")
    assert record.wanted() is None
    assert record.state() is None
    state = State(port=8000, generation=4, replicas=(REPLICA,))
    record.want(WANTED)
    record.note(state)
    assert record.wanted() == WANTED
    assert record.state() == state
    assert record.generation() == 4
    assert [path.stat().st_mode & 0o077 for path in record.folder.iterdir()] == [0, 0]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"generation": 1}', '{"port": 1, "x": 2}'])
def test_what_cannot_be_read_is_no_record(tmp_path: Path, text: str) -> None:
    record = Record(tmp_path)
    for name in ("wanted.json", "state.json"):
        (tmp_path / name).write_text(text)
    assert record.wanted() is None
    assert record.state() is None
    assert record.generation() == 0


def test_a_keeper_does_not_bring_back_a_removed_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Record(tmp_path / "gone").note(State(port=1, generation=1))


def test_more_replicas_need_no_new_program() -> None:
    assert WANTED.same_program(replace(WANTED, replicas=9, generation=4, drain_seconds=0))
    for other in (
        replace(WANTED, command=("x",)),
        replace(WANTED, environment={}),
        replace(WANTED, version="2"),
        replace(WANTED, folder="/tmp"),
    ):
        assert not WANTED.same_program(other)
