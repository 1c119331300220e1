"""Upstream's own client plays guess_number on the server at the given address.

Runs under .venv-peers, not under the tests' interpreter. Prints one JSON document.
"""
# mypy: disable-error-code="import-not-found, misc"
# (openenv is only in .venv-peers, so its classes are unknown to the checker)

import argparse
import asyncio
import json
from typing import Any

from openenv.core.generic_client import GenericEnvClient


def shown(result: Any) -> dict[str, Any]:
    return {
        "hint": result.observation["hint"],
        "reward": result.reward,
        "done": result.done,
        "metadata": result.metadata,
    }


async def play(address: str, seed: int, numbers: list[int]) -> dict[str, Any]:
    async with GenericEnvClient(base_url=address) as client:
        results = [await client.reset(seed=seed, episode_id="e-1")]
        for number in numbers:
            action = {"type": "guess", "parameters": {"number": number}}
            results.append(await client.step(action))
        failure = ""
        try:
            await client.step({"type": "fly"})
        except RuntimeError as error:
            failure = str(error)
        return {
            "results": [shown(result) for result in results],
            "state": await client.state(),
            "failure": failure,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("numbers", type=int, nargs="+")
    args = parser.parse_args()
    print(json.dumps(asyncio.run(play(args.address, args.seed, args.numbers))))


if __name__ == "__main__":
    main()
