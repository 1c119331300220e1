"""A served environment that tells a watch of its episodes."""

from __future__ import annotations

from collections.abc import Callable

from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.environments.base import AnyEnvironment, Step
from agentcore.training.openenv.ports import SessionWatch
from agentcore.training.openenv.serving.hosting import EnvironmentHost, nothing
from agentcore.training.openenv.threads import EnvironmentCalls


class WatchedHost(EnvironmentHost):
    """``now`` is a monotonic clock; times are the environment's own, without the wire."""

    def __init__(
        self,
        environment: AnyEnvironment,
        ids: Ids,
        *,
        watch: SessionWatch,
        now: Callable[[], float],
        max_episodes: int | None = None,
        calls: EnvironmentCalls | None = None,
    ) -> None:
        super().__init__(environment, ids, max_episodes=max_episodes, calls=calls)
        self._watch = watch
        self._now = now
        self._playing = False

    def reset(self, request: JsonObject) -> bytes:
        began = self._now()
        answer = super().reset(request)
        self._watch.reset(self._now() - began)
        self._playing = True
        return answer

    def played(self, action: JsonObject) -> Step:
        began = self._now()
        step = super().played(action)
        done = step.terminated or step.truncated
        if self._closed:
            # It was cut, and nobody sees what came of it.
            return step
        self._watch.stepped(self._now() - began, step.reward or 0.0, done=done)
        self._playing = self._playing and not done
        return step

    def broken_off(self) -> None:
        if self._playing:
            self._playing = False
            self._watch.lost()

    async def close(self, then: Callable[[], None] = nothing) -> None:
        if not self._closed:
            self._watch.closed()
        await super().close(then)
