"""A small environment on upstream OpenEnv's own base classes, served by its own server.

Runs under .venv-peers, not under the tests' interpreter. Prints `ready http://127.0.0.1:PORT`.
"""
# mypy: disable-error-code="import-not-found, misc"
# (openenv is only in .venv-peers, so its base classes are unknown to the checker)

import argparse
import asyncio
import functools
import inspect
import math
import socket
from typing import Any

import uvicorn
from openenv.core.env_server import Action, Environment, Observation, State, create_app

REWARDS: dict[str, bool | float | None] = {"true": True, "nan": math.nan, "none": None}
SLOW_SECONDS = 0.5


class EchoAction(Action):
    """`message` is echoed; "raise", "slow", "end" and the keys of REWARDS do as they say."""

    message: str


class EchoObservation(Observation):
    echo: str


class EchoState(State):
    seed: int | None = None
    last: str = ""


class EchoEnvironment(Environment):
    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, step_limit: int) -> None:
        super().__init__()
        self._step_limit = step_limit
        self._state = EchoState()

    def reset(
        self,
        seed: int | None = None,
        episode_id: str | None = None,
        greeting: str = "hello",
        **_: Any,
    ) -> EchoObservation:
        self._state = EchoState(episode_id=episode_id, seed=seed)
        return EchoObservation(echo=greeting, metadata={"seed": seed})

    def step(self, action: EchoAction, timeout_s: float | None = None, **_: Any) -> EchoObservation:
        if action.message == "raise":
            raise ValueError("asked to raise")
        self._state.step_count += 1
        self._state.last = action.message
        return EchoObservation(
            echo=action.message,
            reward=REWARDS.get(action.message, len(action.message) / 10),
            done=action.message == "end" or self._state.step_count >= self._step_limit,
            metadata={"steps": self._state.step_count},
        )

    async def step_async(
        self, action: EchoAction, timeout_s: float | None = None, **extra: Any
    ) -> EchoObservation:
        if action.message == "slow":
            await asyncio.sleep(SLOW_SECONDS)
        return self.step(action, timeout_s=timeout_s, **extra)

    @property
    def state(self) -> EchoState:
        return self._state


class AnnouncingServer(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for bound in sockets or []:
            print(f"ready http://127.0.0.1:{bound.getsockname()[1]}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--sessions", type=int, default=64, help="how many at once")
    parser.add_argument("--steps", type=int, default=20, help="after which an episode is done")
    args = parser.parse_args()
    options: dict[str, Any] = {"env_name": "echo", "max_concurrent_envs": args.sessions}
    if "state_cls" in inspect.signature(create_app).parameters:  # since 0.5
        options["state_cls"] = EchoState
    factory = functools.partial(EchoEnvironment, args.steps)
    app = create_app(factory, EchoAction, EchoObservation, **options)
    bound = socket.create_server(("127.0.0.1", args.port))
    AnnouncingServer(uvicorn.Config(app, log_level="warning")).run([bound])


if __name__ == "__main__":
    main()
