"""Upstream's validator and tool client on a server of guess_number at the given address.

Runs under .venv-peers, not under the tests' interpreter. Prints one JSON document.
"""
# mypy: disable-error-code="import-not-found, misc"
# (openenv is only in .venv-peers, so its classes are unknown to the checker)

import argparse
import asyncio
import json
from typing import Any

from openenv.cli._validation import validate_running_environment
from openenv.core.mcp_client import MCPToolClient


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
    address = parser.parse_args().address
    report = validate_running_environment(address)
    print(json.dumps({"report": report, "played": asyncio.run(play(address))}, default=str))


if __name__ == "__main__":
    main()
