"""dev.py sets up a small checkout: real pip, real uv, real environments, packages of our own.

Everything comes from a folder of wheels, so nothing here needs a network.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from devtools.venvs import MAIN, PEERS, ROOT

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="shell scripts as programs"),
    pytest.mark.timeout(900),
]

PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
BACKEND = """\
import zipfile
from pathlib import Path

def build_editable(folder, config_settings=None, metadata_directory=None):
    name, info = "agentcore-0-py3-none-any.whl", "agentcore-0.dist-info/"
    with zipfile.ZipFile(Path(folder) / name, "w") as wheel:
        wheel.writestr("agentcore.pth", str(Path.cwd()))
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: agentcore\\nVersion: 0\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "")
    return name
"""
REAL_UV = next(
    (str(venv.bin / "uv") for venv in (MAIN, PEERS) if (venv.bin / "uv").exists()),
    shutil.which("uv"),
)
SLOW_UV = f"""\
#!/bin/sh
if test "$1 $2" = "pip sync"; then
    touch "$HOME/syncing"
    while test -e "$HOME/held"; do sleep 0.02; done
fi
test "$1" = pip && test -n "$UV_IS_BROKEN" && exit 2
exec {REAL_UV} "$@"
"""


@dataclass(frozen=True)
class Checkout:
    """A copy of dev.py beside locks and wheels of its own."""

    root: Path
    wheels: Path

    def add_wheel(self, name: str, version: str, files: dict[str, str]) -> str:
        """A line for a lock file."""
        info = f"{name}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        contents = {
            **files,
            f"{info}/METADATA": metadata,
            f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = "".join(f"{path},,\n" for path in [*contents, f"{info}/RECORD"])
        wheel = self.wheels / f"{name}-{version}-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for path, text in {**contents, f"{info}/RECORD": record}.items():
                entry = zipfile.ZipInfo(path)
                entry.external_attr = (stat.S_IFREG | 0o755) << 16  # pip keeps programs programs
                archive.writestr(entry, text)
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        return f"{name}=={version} \\\n    --hash=sha256:{digest}\n"

    def lock_tiny(self, version: str) -> None:
        line = self.add_wheel("tiny", version, {"tiny.py": f"VERSION = '{version}'\n"})
        (self.root / "requirements.lock").write_text(line)

    def start(self, *args: str, **env: str) -> subprocess.Popen[str]:
        # Another process's interpreter, so that coverage and plugins of this one stay out of it.
        settings = {
            "HOME": str(self.wheels.parent),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "PIP_NO_INDEX": "1",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_FIND_LINKS": str(self.wheels),
            "UV_OFFLINE": "1",
        }
        return subprocess.Popen(
            [sys.executable, str(self.root / "dev.py"), *args],
            env={**settings, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def dev(self, *args: str, **env: str) -> tuple[int, str, str]:
        started = self.start(*args, **env)
        out, err = started.communicate()
        return started.returncode, out, err


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    made = Checkout(tmp_path / "checkout", tmp_path / "wheels")
    made.wheels.mkdir()
    shutil.copytree(ROOT / "devtools", made.root / "devtools")
    shutil.copy(ROOT / "dev.py", made.root)
    (made.root / "pyproject.toml").write_text(PYPROJECT)
    (made.root / "backend.py").write_text(BACKEND)
    (made.root / "agentcore.py").write_text("HERE = __file__\n")
    made.lock_tiny("1.0")
    uv = made.add_wheel("uv", "0.1", {"uv-0.1.data/scripts/uv": SLOW_UV})
    (made.root / "devtools" / "bootstrap.lock").write_text(uv)
    return made


PRINT_VERSION = ("run", "python", "-c", "import tiny; print(tiny.VERSION)")


def test_a_checkout_is_set_up_once_and_follows_its_lock_and_its_place(
    checkout: Checkout, tmp_path: Path
) -> None:
    """One life, since each new environment takes seconds; it begins where uv does not work."""
    code, out, err = checkout.dev(*PRINT_VERSION, UV_IS_BROKEN="1")
    assert (code, out) == (0, "1.0\n"), err
    assert "now pip" in err
    assert ".venv is ready" in err
    _nothing_is_left_to_do(checkout)
    checkout.lock_tiny("2.0.1")
    code, out, err = checkout.dev(*PRINT_VERSION)
    assert (code, out) == (0, "2.0.1\n"), err
    assert ".venv is ready" in err
    assert "made .venv" not in err
    assert "now pip" not in err
    moved = Checkout(checkout.root.rename(tmp_path / "elsewhere"), checkout.wheels)
    code, out, err = moved.dev("run", "python", "-c", "import agentcore; print(agentcore.HERE)")
    assert (code, out) == (0, f"{moved.root}/agentcore.py\n"), err
    assert "now pip" not in err
    code, out, err = moved.dev("run", "sh", "-c", "command -v python")
    assert (code, out) == (0, f"{moved.root}/.venv/bin/python\n"), err
    _refuses_what_was_not_locked(moved)


def _nothing_is_left_to_do(checkout: Checkout) -> None:
    code, out, err = checkout.dev("run", "python", "-c", "import agentcore; print(agentcore.HERE)")
    assert (code, out, err) == (0, f"{checkout.root}/agentcore.py\n", "")
    assert checkout.dev("run", "sh", "-c", "command -v python; exit 7") == (
        7,
        f"{checkout.root}/.venv/bin/python\n",
        "",
    )
    assert checkout.dev("run", "no-such-command")[0] == 127
    running = checkout.start("run", "sh", "-c", "echo up; exec sleep 30")
    assert running.stdout is not None
    assert running.stdout.readline() == "up\n"
    running.send_signal(signal.SIGINT)
    running.communicate()
    assert running.returncode == -signal.SIGINT


def _refuses_what_was_not_locked(checkout: Checkout) -> None:
    # What is installed already is not fetched again, and so not looked at.
    checkout.lock_tiny("3.0")
    lock = checkout.root / "requirements.lock"
    lock.write_text(lock.read_text()[:-9] + "00000000\n")
    code, _, err = checkout.dev("run", "true")
    assert code == 1
    assert "neither uv nor pip could install" in err
    assert "hash" in err.lower()
    assert "Traceback" not in err


def test_after_a_kill_the_next_starts_wait_for_the_orphan_and_one_rebuilds(
    checkout: Checkout,
) -> None:
    held = checkout.wheels.parent / "held"
    held.touch()
    try:
        killed = checkout.start("run", "true")
        while not (checkout.wheels.parent / "syncing").exists():
            assert killed.poll() is None
            time.sleep(0.01)
        killed.kill()
        killed.wait()
        both = [checkout.start(*PRINT_VERSION) for _ in range(2)]
        for one in both:
            assert one.stderr is not None
            assert any("waiting" in line for line in one.stderr)
    finally:
        held.unlink()
    ended = [(one.communicate(), one.returncode) for one in both]
    killed.communicate()
    assert [(out, code) for (out, _), code in ended] == [("1.0\n", 0)] * 2, ended
    assert sum("not finished" in err for (_, err), _ in ended) == 1
    assert sum("made .venv" in err for (_, err), _ in ended) == 1
    assert not any("now pip" in err for (_, err), _ in ended)
