from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

from agentcore.cli.demo.processes import CONFIGURATION, Running, died
from agentcore.settings import load_settings


def test_the_written_configuration_is_one_that_the_service_takes(tmp_path: Path) -> None:
    text = CONFIGURATION.format(
        home='"/somewhere"', port=1, cluster="http://127.0.0.1:2", api="http://127.0.0.1:3"
    )
    file = tmp_path / "agentcore.toml"
    file.write_text(text)
    settings = load_settings(file, environ={})
    kinds = [(each.kind, each.private) for each in settings.llm_gateway.providers]
    assert kinds == [("parallax", True), ("compatible", False)]
    assert tomllib.loads(text)["agents"]["model"] in settings.llm_gateway.providers[0].models


def test_a_process_that_died_is_named_with_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "service.log").write_text("starting\nagentcore: no room\n  hint: make some\n")
    alive = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    dead = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    dead.wait()
    running = Running(url="", home=tmp_path, config=tmp_path, processes=(alive, alive, dead))
    error = died(running)
    assert error is not None
    assert "service ended with code 3: no room" in error.detail
    assert died(Running(url="", home=tmp_path, config=tmp_path, processes=(alive,) * 3)) is None
    alive.communicate(b"\n")
