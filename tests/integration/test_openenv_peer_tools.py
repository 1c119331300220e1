"""Upstream's `openenv validate` and tool client against our servers, mounted and alone.

It also reads the package that ``agentcore env new`` writes.
"""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from agentcore.cli.env.scaffolding import scaffold
from agentcore.training.openenv.environments.catalog import BUNDLED
from agentcore.training.openenv.models import EnvironmentServerConfig
from agentcore.training.openenv.server import EnvironmentServer
from tests.fakes.openenv_servers import serving
from tests.peers import launch


async def official(script: str, *arguments: str | Path) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        launch.python(launch.NEWEST), launch.HERE / script, *arguments, stdout=PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    said: dict[str, Any] = json.loads(output)
    return said


@pytest.mark.parametrize("mounted", [True, False], ids=["mounted", "alone"])
async def test_the_official_validator_and_tool_client_are_content(
    mounted: bool, tmp_path: Path
) -> None:
    config = EnvironmentServerConfig(max_sessions=1)
    server = EnvironmentServer("guess_number", BUNDLED["guess_number"], config)
    prefix = "/envs/guess_number" if mounted else ""
    app = Starlette(routes=[Mount(prefix, server)]) if mounted else server
    async with serving(app) as url:
        package = scaffold("lamp_row", tmp_path)
        said = await official("openenv_official_tools.py", url + prefix, package)
    report = said["report"]
    assert [each for each in report["criteria"] if not each["passed"]] == []
    assert (report["passed"], report["mode"], len(report["criteria"])) == (True, "simulation", 6)
    assert (said["package"]["verdict"], said["package"]["levels_run"]) == ("pass", [1])
    played = said["played"]
    assert (played["tools"], played["steps"]) == ([["guess", ["number"]]], 2)
    assert [called["observation"]["hint"] for called in played["called"]] == ["high", "hit"]
