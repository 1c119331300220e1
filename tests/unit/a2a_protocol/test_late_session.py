from __future__ import annotations

import subprocess
import sys

from agentcore.a2a_protocol.push.late_session import LateSession


async def test_it_is_opened_once_and_closed_if_it_was() -> None:
    async with LateSession(anywhere=False) as session:
        opened = session.opened()
        assert session.opened() is opened
        assert not opened.closed
    assert opened.closed
    async with LateSession(anywhere=False):
        pass


def test_a_service_that_calls_nobody_does_without_the_large_libraries() -> None:
    """Of what each worker keeps, a tenth is these; they are loaded when somebody needs them."""
    heavy = {"aiohttp", "jsonschema_rs", "alembic", "redis", "a2a", "docker", "kubernetes"}
    code = f"import sys, agentcore.app; print(sorted({heavy!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
