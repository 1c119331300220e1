"""Starting the foreign programs of `.venv-peers`, each on a free port."""

import asyncio
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

HERE = Path(__file__).parent
NEWEST = "0.10.0"
RELEASES = (NEWEST, "0.6.0", "0.2.0")
START_SECONDS = 120.0


@asynccontextmanager
async def upstream_openenv(*options: str, release: str = NEWEST) -> AsyncIterator[str]:
    """The address of upstream's server with the echo environment; see its `--help` for options."""
    async with _running(python(release), "openenv_echo_server.py", *options) as address:
        yield address


def python(release: str) -> Path:
    """The interpreter that has this release of openenv."""
    folder = ".venv-peers" if release == NEWEST else f".venv-peers-{release}"
    found = HERE.parent.parent / folder / "bin" / "python"
    assert found.exists(), f"there is no {folder}: run `python3 dev.py peers`"
    return found


@asynccontextmanager
async def _running(interpreter: Path, script: str, *options: str) -> AsyncIterator[str]:
    server = await asyncio.create_subprocess_exec(interpreter, HERE / script, *options, stdout=PIPE)
    try:
        async with asyncio.timeout(START_SECONDS):
            address = await _address(server)
        yield address
    finally:
        if server.returncode is None:
            server.kill()
        await server.wait()


async def _address(server: Process) -> str:
    assert server.stdout is not None
    line = (await server.stdout.readline()).decode()
    assert line.startswith("ready "), f"the peer ended with {await server.wait()} before serving"
    return line.removeprefix("ready ").strip()
