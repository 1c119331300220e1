"""Upstream's own client plays guess_number on the server at the given address.

Runs under .venv-peers, not under the tests' interpreter. Prints one JSON document.
"""
# mypy: disable-error-code="import-not-found, misc"
# (openenv is only in .venv-peers, so its classes are unknown to the checker)

import argparse
import asyncio
import json
from typing import Any

from openenv.core.client_types import StepResult
from openenv.core.env_client import EnvClient

try:
    from openenv.core.generic_client import GenericEnvClient
except ImportError:  # 0.2.0 has none: whoever used it wrote these three methods

    class GenericEnvClient(EnvClient):  # type: ignore[no-redef]  # either of the two
        def _step_payload(self, action: dict[str, Any]) -> dict[str, Any]:
            return action

        def _parse_result(self, payload: dict[str, Any]) -> Any:
            done = payload.get("done", False)
            return StepResult(payload["observation"], payload.get("reward"), done)

        def _parse_state(self, payload: dict[str, Any]) -> Any:
            return payload


def shown(result: Any) -> dict[str, Any]:
    return {
        "hint": result.observation["hint"],
        "reward": result.reward,
        "done": result.done,
        # Since 0.4 beside the observation; always inside.
        "metadata": getattr(result, "metadata", None) or result.observation["metadata"],
    }


def play_blocking(address: str, seed: int, numbers: list[int]) -> dict[str, Any]:
    """As 0.2.0 plays."""
    with GenericEnvClient(base_url=address) as client:
        results = [client.reset(seed=seed, episode_id="e-1")]
        results += [
            client.step({"type": "guess", "parameters": {"number": number}}) for number in numbers
        ]
        failure = ""
        try:
            client.step({"type": "fly"})
        except RuntimeError as error:
            failure = str(error)
        return {
            "results": [shown(result) for result in results],
            "state": client.state(),
            "failure": failure,
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
    if hasattr(GenericEnvClient, "__aenter__"):
        played = asyncio.run(play(args.address, args.seed, args.numbers))
    else:
        played = play_blocking(args.address, args.seed, args.numbers)
    print(json.dumps(played))


if __name__ == "__main__":
    main()
