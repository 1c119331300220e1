"""A real inference server on the CPU: continuous batching, a tiny model, nobody's mock."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import running
from tests.fakes.ports import free_port

PYTHON = Path(__file__).parent.parent / ".venv-peers-inference" / "bin" / "python"
MAKER = Path(__file__).parent / "tiny_model.py"
MISSING = f"there is no {PYTHON.parent.parent.name}: run `python3 dev.py peers inference`"
SLOTS = 4
# While it generates, the server looks only twice a second whether anybody else has come, which no
# admission in front of it can hide. The figure is no option of its command line.
OWN_PACE = 0.5
PACED = (
    "import sys, mlx_lm.server as server; "
    "init = server.TimeBudget.__init__; "
    "init.__defaults__ = (float(sys.argv.pop(1)), *init.__defaults__[1:]); "
    "server.main()"
)


@dataclass(frozen=True)
class Server:
    """``url`` goes up to and with ``/v1``; ``model`` is its own name for what it serves."""

    url: str
    model: str
    pid: int


@contextmanager
def inference_server(slots: int = SLOTS, *, pace: float = OWN_PACE) -> Iterator[Server]:
    """mlx_lm's, which carries ``slots`` answers at once; up after some seconds.

    ``pace``: seconds after which it looks for new calls.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="acb-") as folder:
        model = Path(folder) / "model"
        subprocess.run([PYTHON, MAKER, model], check=True, timeout=60)
        # Without this folder its list of models is an empty body.
        (Path(folder) / "hub").mkdir()
        command = [str(PYTHON), "-c", PACED, str(pace), "--model", str(model)]
        command += ["--host", "127.0.0.1", "--port", str(port)]
        command += ["--decode-concurrency", str(slots), "--prompt-concurrency", "2"]
        env = {"HF_HOME": folder, "HF_HUB_OFFLINE": "1"}
        with running(command, port, env=env) as process:
            yield Server(f"http://127.0.0.1:{port}/v1", str(model), process.pid)
