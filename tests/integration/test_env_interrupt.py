from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from agentcore.training.errors import RecordingUnreadable
from agentcore.training.recording import RecordedEpisode, read_recording


def test_ctrl_c_leaves_a_recording_and_a_report(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl.gz"
    command = [sys.executable, "-m", "agentcore", "env", "run", "guess_number"]
    asked = ["--episodes", "1000000", "--sessions", "4", "--record", str(path), "--json", "-"]
    with subprocess.Popen(
        [*command, *asked], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as playing:
        while sum(each.ended for each in _so_far(path)) < 20:
            assert playing.poll() is None, playing.communicate()
            time.sleep(0.05)
        playing.send_signal(signal.SIGINT)
        out, err = playing.communicate(timeout=120)
    assert playing.returncode == 130, err
    assert "Traceback" not in err
    recording = read_recording(path)
    assert recording.complete, "the file was closed"
    ended = [each for each in recording.episodes if each.ended]
    (report,) = json.loads(out)["reports"]
    assert len(report["seeds"]) == len(ended) >= 20
    assert report["rewards"] == [each.reward for each in ended]


def test_a_full_disk_ends_the_run_and_keeps_what_was_played(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl.gz"
    play = f"{sys.executable} -m agentcore env run guess_number --episodes 100000 --sessions 3"
    # What it compiled would be cut, too, and break whoever loads it after this.
    limited = (
        f"export PYTHONDONTWRITEBYTECODE=1; ulimit -f 16; exec {play} --record {path} --json -"
    )
    done = subprocess.run(
        ["sh", "-c", limited], capture_output=True, text=True, timeout=170, check=False
    )
    assert done.returncode == 1, done.stderr
    assert f"agentcore: cannot record to {path}: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    recording = read_recording(path)
    assert not recording.complete
    assert sum(each.ended for each in recording.episodes) > 5


def _so_far(path: Path) -> tuple[RecordedEpisode, ...]:
    try:
        return read_recording(path).episodes
    except RecordingUnreadable:
        return ()
