"""Starting the foreign programs of `.venv-peers`, each on a free port."""

import asyncio
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

HERE = Path(__file__).parent
PYTHON = HERE.parent.parent / ".venv-peers" / "bin" / "python"
START_SECONDS = 30.0


@asynccontextmanager
async def upstream_openenv(*options: str) -> AsyncIterator[str]:
    """The address of upstream's server with the echo environment; see its `--help` for options."""
    async with _running("openenv_echo_server.py", *options) as address:
        yield address


@asynccontextmanager
async def _running(script: str, *options: str) -> AsyncIterator[str]:
    assert PYTHON.exists(), "there is no .venv-peers: run `python3 dev.py peers`"
    server = await asyncio.create_subprocess_exec(PYTHON, HERE / script, *options, stdout=PIPE)
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
