"""The demo as its user runs it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

from tests.fakes.deployment import (
    agentcore,
    clean_environment,
    processes_of,
    short_home,
    wait_until,
)


def test_the_demo_shows_that_the_reward_rose_and_what_it_cost() -> None:
    with short_home() as home:
        ended = agentcore(
            "demo", "--rounds", "4", "--agents", "1", "--episodes", "10",
            home=home, seconds=500, env={"TMPDIR": str(home), "COLUMNS": "100"},
        )  # fmt: skip
        assert ended.returncode == 0, ended.stdout + ended.stderr
        found = re.findall(r"round \d: reward +(-?[\d.]+)", ended.stdout)
        rewards = [float(text) for text in found]
        assert len(rewards) == 4
        assert rewards[-1] > rewards[0] + 1
        assert "Reward per episode rose" in ended.stdout
        calls = re.search(r"(\d+) model calls: (\d+) self-hosted, (\d+) on", ended.stdout)
        assert calls is not None
        total, own, api = (int(number) for number in calls.groups())
        assert total == own + api > 100
        assert own > api > 0
        assert re.search(r"v1\b.*\n.*v\d", ended.stdout)
        wait_until(lambda: not processes_of(home), "all of the demo's processes are gone")
        assert not list(home.glob("agentcore-demo-*"))


def test_a_demo_that_is_told_to_stop_leaves_nothing_behind() -> None:
    with short_home() as home:
        demo = subprocess.Popen(
            [sys.executable, "-m", "agentcore", "demo"],
            env=clean_environment(AGENTCORE_HOME=str(home), TMPDIR=str(home)),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert demo.stdout is not None
        assert "AgentCore demo" in demo.stdout.readline()
        demo.terminate()
        demo.communicate(timeout=200)
        assert demo.returncode == 128 + signal.SIGTERM
        wait_until(lambda: not processes_of(home), "all of the demo's processes are gone")
        assert not list(home.glob("agentcore-demo-*"))
