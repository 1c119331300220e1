from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcore.kit.errors import InvalidInput
from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.errors import RecordingUnreadable
from agentcore.training.models import Episode, EpisodeFailure, Transition
from agentcore.training.openenv.environments.examples.guess_number import GuessNumber
from agentcore.training.openenv.environments.policies import POLICIES
from agentcore.training.openenv.models import Action, Observation
from agentcore.training.openenv.playing import local_sessions
from agentcore.training.recording import (
    CHUNK,
    Recorder,
    RecordingHeader,
    header_of,
    read_recording,
    schema_hash,
)
from agentcore.training.rollouts import RolloutPlan, rollout

INFO = GuessNumber().info()
HEADER = header_of(
    INFO, url="http://e.test", policy="reference", at=datetime(2026, 1, 1, tzinfo=UTC)
)
FIRST = Observation(state={"hint": "start"}, metadata={"seed": 1})
# Writes until it is killed.
ENDLESS = """
import sys
from pathlib import Path
from agentcore.training.models import Transition
from agentcore.training.openenv.models import Action, Observation
from agentcore.training.recording import Recorder, RecordingHeader

recorder = Recorder(Path(sys.argv[1]), RecordingHeader(environment="e"))
recorder.began(0, 7, Observation(state={"n": 0}), 0.0)
number = 0
while True:
    number += 1
    step = Transition(observation={}, action=Action(type="a"), reward=1.0,
                      next_observation={"n": number}, terminated=False, truncated=False)
    recorder.stepped(0, number, step)
    if number == 200:
        print("written", flush=True)
"""


def step(number: int, reward: float = 1.0, **more: object) -> Transition:
    values: dict[str, object] = {
        "observation": {},
        "action": Action(type="go", parameters={"n": number}, metadata={"why": "é"}),
        "reward": reward,
        "next_observation": {"n": number},
        "terminated": False,
        "truncated": False,
        **more,
    }
    return Transition(**values)  # type: ignore[arg-type]  # a table of fields


async def test_a_rollout_is_read_back_as_it_was_played(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl.gz"
    plan = RolloutPlan(concurrency=3, keep_transitions=True)
    with Recorder(path, HEADER) as recorder:
        played = await rollout(
            POLICIES["guess_number"].reference,
            local_sessions(GuessNumber),
            8,
            plan=plan,
            watchers=[recorder],
        )
    found = read_recording(path)
    assert found.header == HEADER
    assert found.complete
    assert [each.index for each in found.episodes] == list(range(8))
    for recorded, episode in zip(found.episodes, played.episodes, strict=True):
        assert (recorded.seed, recorded.ended, recorded.failure) == (episode.seed, True, None)
        assert [s.reward for s in recorded.steps] == list(episode.rewards)
        assert [s.action for s in recorded.steps] == [t.action for t in episode.transitions]
        assert [s.observation.state for s in recorded.steps] == [
            t.next_observation for t in episode.transitions
        ]
        assert recorded.steps[-1].terminated == episode.terminated
    with gzip.open(path) as plain:
        assert json.loads(plain.readline())["kind"] == "header", "any gzip reads it"


def test_it_is_readable_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "r"
    with Recorder(path, HEADER) as recorder:
        recorder.began(0, 1, FIRST, 0.01)
        recorder.stepped(0, 1, step(1))
        recorder.began(1, 2, FIRST, 0.01)
        found = read_recording(path)
        assert not found.complete
        assert [len(each.steps) for each in found.episodes] == [1, 0]
        recorder.stepped(0, 2, step(2, terminated=True))
        assert len(read_recording(path).episodes[0].steps) == 2


@settings(max_examples=30, deadline=None)
@given(share=st.floats(0.0, 1.0))
def test_wherever_it_is_cut_the_complete_steps_are_there(
    share: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("cut") / "r"
    sizes = []
    with Recorder(path, HEADER) as recorder:
        recorder.began(0, 1, FIRST, 0.0)
        start = path.stat().st_size
        for number in range(1, 20):
            recorder.stepped(0, number, step(number, next_observation={"text": "x" * number}))
            sizes.append(path.stat().st_size)
    kept = start + round(share * (sizes[-1] - start))
    os.truncate(path, kept)
    found = read_recording(path)
    assert not found.complete
    flushed = sum(size <= kept for size in sizes)
    steps = found.episodes[0].steps
    # The last bytes of a flush are only its mark: the line before them may be whole already.
    assert flushed <= len(steps) <= flushed + 1
    assert [each.action.parameters["n"] for each in steps] == list(range(1, len(steps) + 1))


def test_a_killed_writer_leaves_all_but_its_last_line(tmp_path: Path) -> None:
    path = tmp_path / "r"
    with subprocess.Popen([sys.executable, "-c", ENDLESS, str(path)], stdout=subprocess.PIPE) as it:
        assert it.stdout is not None
        it.stdout.readline()
        it.send_signal(signal.SIGKILL)
        it.wait(60)
    (episode,) = read_recording(path).episodes
    assert len(episode.steps) >= 200
    assert [each.observation.state["n"] for each in episode.steps] == list(
        range(1, len(episode.steps) + 1)
    )
    assert not episode.ended


def test_a_failed_episode_says_why(tmp_path: Path) -> None:
    path = tmp_path / "r"
    failure = EpisodeFailure("step", "session_lost", "gone")
    with Recorder(path, HEADER) as recorder:
        recorder.began(0, 1, FIRST, 0.0)
        recorder.stepped(0, 1, step(1, reward=float("nan"), truncated=True, cut=True))
        recorder.ended(Episode(index=0, seed=1, rewards=(1.0,), failure=failure))
        recorder.ended(Episode(index=1, seed=2, failure=failure))
    (episode,) = read_recording(path).episodes
    assert episode.failure == failure
    assert episode.steps[0].cut
    assert episode.steps[0].reward != episode.steps[0].reward, "NaN stays what it is"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "does not begin"),
        (b"no gzip at all", "damaged"),
        (gzip.compress(b"[1]\n"), "no JSON object"),
        (gzip.compress(b"{]\n"), "not JSON"),
        (gzip.compress(b'{"kind":"step"}\n'), "does not begin"),
        (gzip.compress(b'{"kind":"header","environment":"e","format":2}\n'), "format 2"),
        (
            gzip.compress(b'{"kind":"header","environment":"e"}\n{"kind":"reset","episode":"x"}\n'),
            "no part of an episode",
        ),
        (
            gzip.compress(
                b'{"kind":"header","environment":"e"}\n'
                b'{"kind":"step","episode":0,"step":1,"action":{"type":"a"},"observation":{},'
                b'"reward":1,"terminated":false,"truncated":false}\n'
            ),
            "no part of an episode",
        ),
        (
            gzip.compress(
                b'{"kind":"header","environment":"e"}\n'
                b'{"kind":"reset","episode":0,"observation":{}}\n'
                b'{"kind":"step","episode":0,"step":1,"action":{"type":"a"},"observation":{},'
                b'"reward":1e308,"terminated":false,"truncated":false}\n'
            ),
            "no part of an episode",
        ),
    ],
    # Compressed bytes hold the time; the workers of a run must know a test by the same name.
    ids=["empty", "plain", "list", "broken", "headless", "later", "reset", "step", "reward"],
)
def test_what_is_no_recording_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "r"
    path.write_bytes(content)
    with pytest.raises(RecordingUnreadable, match=said):
        read_recording(path)


def test_damage_is_not_read_over(tmp_path: Path) -> None:
    path = tmp_path / "r"
    with Recorder(path, HEADER) as recorder:
        recorder.began(0, 1, FIRST, 0.0)
        for number in range(50):
            recorder.stepped(0, number, step(number))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(RecordingUnreadable):
        read_recording(path)


def test_lines_of_later_versions_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "r"
    header = RecordingHeader(environment="e").model_dump(mode="json")
    lines = [{"kind": "header", **header, "more": 1}, {"kind": "note", "text": "x"}]
    path.write_bytes(gzip.compress(b"".join(json.dumps(each).encode() + b"\n" for each in lines)))
    assert read_recording(path).episodes == ()


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot record to"):
        Recorder(tmp_path / "none" / "r", HEADER)
    with pytest.raises(RecordingUnreadable, match="No such file"):
        read_recording(tmp_path / "absent")


def test_the_schema_hash_is_of_the_meaning() -> None:
    turned = dict(reversed(list(INFO.action_space.items())))
    assert schema_hash(INFO) == schema_hash(INFO.model_copy(update={"action_space": turned}))
    assert schema_hash(INFO) != schema_hash(INFO.model_copy(update={"action_space": {}}))


def test_a_line_of_many_chunks_is_read_whole(tmp_path: Path) -> None:
    state: JsonObject = {"x": "é" * (3 * CHUNK), "y": 1}
    path = tmp_path / "r"
    with Recorder(path, HEADER) as recorder:
        for episode in (0, 1):
            recorder.began(episode, 1, Observation(state=state), 0.0)
    read = read_recording(path)
    assert [each.first.state for each in read.episodes] == [state, state]
    assert read.complete
