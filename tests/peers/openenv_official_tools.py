"""Upstream's validators and tool client on a server of guess_number at the given address.

One validator asks the server; the other reads a package, and the one given is ours.

Runs under .venv-peers, not under the tests' interpreter. Prints one JSON document.
"""
# mypy: disable-error-code="import-not-found, misc"
# (openenv is only in .venv-peers, so its classes are unknown to the checker)

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any

from openenv.cli._validation import validate_running_environment
from openenv.core.mcp_client import MCPToolClient
from openenv.validation.runner import run_validation
from openenv.validation.types import Level


async def play(address: str) -> dict[str, Any]:
    """It resets by its socket and calls tools over HTTP, both in one session."""
    async with MCPToolClient(base_url=address) as client:
        tools = await client.list_tools()
        await client.reset(seed=7)
        called = [await client.call_tool("guess", number=number) for number in (50, 42)]
        state = await client.state()
    return {
        "tools": [[tool.name, sorted(tool.input_schema["properties"])] for tool in tools],
        "called": called,
        "steps": state.step_count,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("package", type=Path)
    args = parser.parse_args()
    report = validate_running_environment(args.address)
    # Its further levels build an image and run it.
    package = run_validation(args.package, max_level=Level.STATIC).model_dump(mode="json")
    played = asyncio.run(play(args.address))
    print(json.dumps({"report": report, "package": package, "played": played}, default=str))


if __name__ == "__main__":
    main()
