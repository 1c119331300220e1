"""Another model on a Parallax cluster: one scheduler serves one model, so it replaces the old one.

The scheduler stops what it serves before it looks at the new name, and says "available" before
anything works. So the name is looked up first, calls under way are let end, and a completion has to
succeed before anybody else's call is let in; if none does, the old model comes back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from difflib import get_close_matches

import structlog

from agentcore.kit.clock import Clock
from agentcore.llm_gateway.admission import Gate
from agentcore.llm_gateway.errors import UpstreamError, UpstreamTimeout
from agentcore.llm_gateway.parallax.errors import (
    ClusterNotDrained,
    ModelNotInCatalogue,
    ModelSwitchFailed,
    ModelSwitchUnderway,
)
from agentcore.llm_gateway.parallax.models import ClusterStatus
from agentcore.llm_gateway.parallax.scheduler import Scheduler

log = structlog.get_logger()

DRAIN_STEP = 0.1


@dataclass(frozen=True, slots=True)
class SwitchTimes:
    """Seconds: for calls under way to end, for a model to be loaded, and between two looks."""

    drain: float = 60.0
    ready: float = 900.0
    look: float = 1.0


TIMES = SwitchTimes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Switched:
    """``seconds``: how long nobody was let in; 0 where the model was served already."""

    cluster: str
    model: str
    before: str
    seconds: float


class ModelSwitch:
    """``canary`` completes once with a model, or raises."""

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        cluster: str,
        gate: Gate,
        canary: Callable[[str], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._scheduler = scheduler
        self._cluster = cluster
        self._gate = gate
        self._canary = canary
        self._clock = clock
        self._times = TIMES
        self.underway = False

    async def run(self, model: str, times: SwitchTimes = TIMES) -> Switched:
        """Have ``model`` served; returns when a completion has succeeded with it.

        Raises:
            ModelNotInCatalogue, ModelSwitchUnderway, ClusterNotDrained: nothing was changed.
            ModelSwitchFailed: it did not come up, and the old model was asked back.
            UpstreamError: the scheduler did not tell what it serves; nothing was changed.
        """
        if self.underway:
            raise ModelSwitchUnderway(f"{self._cluster} is given another model already")
        self.underway, self._times = True, times
        try:
            await self._look_up(model)
            before = await self._scheduler.status()
            if before.model_name == model and before.serving:
                await self._canary(model)
                return self._told(model, before, 0.0)
            return await self._switch(model, before)
        finally:
            self.underway = False

    async def _look_up(self, model: str) -> None:
        names = await self._scheduler.catalogue()
        if model not in names:
            close = get_close_matches(model, names, n=3, cutoff=0.3)
            raise ModelNotInCatalogue(
                f"{self._cluster} does not know the model {model!r}",
                hint=f"close names: {', '.join(close)}" if close else "GET /model/list names them",
            )

    async def _switch(self, model: str, before: ClusterStatus) -> Switched:
        began = self._clock.monotonic()
        self._gate.close()
        try:
            await self._drain()
            await self._replace(model, before)
        finally:
            # Who waited wanted the old model, and the scheduler would not mind the name.
            self._gate.dismiss()
            self._gate.open()
        return self._told(model, before, self._clock.monotonic() - began)

    async def _drain(self) -> None:
        deadline = self._clock.monotonic() + self._times.drain
        while self._gate.in_flight:
            if self._clock.monotonic() >= deadline:
                raise ClusterNotDrained(
                    f"{self._gate.in_flight} calls of {self._cluster} did not end within "
                    f"{self._times.drain:g} s; it goes on with its model",
                    hint="try again when it is less busy",
                )
            await self._clock.sleep(DRAIN_STEP)

    async def _replace(self, model: str, before: ClusterStatus) -> None:
        nodes = before.init_nodes_num or max(1, len(before.nodes))
        try:
            await self._serve(model, nodes)
        except UpstreamError as error:
            log.warning("model did not come up", cluster=self._cluster, model=model)
            now = await self._back(before.model_name, nodes)
            raise ModelSwitchFailed(
                f"{self._cluster} could not serve {model!r}: {error.detail}; {now}",
                hint="does it fit the nodes' memory, and can they load it?",
            ) from error

    async def _back(self, model: str, nodes: int) -> str:
        if not model:
            return "it served nothing before"
        try:
            await self._serve(model, nodes)
        except UpstreamError as error:
            return f"and {model!r} did not come back: {error.detail}"
        return f"{model!r} is served again"

    async def _serve(self, model: str, nodes: int) -> None:
        deadline = self._clock.monotonic() + self._times.ready
        await self._scheduler.init(model, nodes)
        trouble = "its status does not say so"
        while self._clock.monotonic() < deadline:
            try:
                status = await self._scheduler.status()
                if status.model_name == model and status.serving:
                    await self._canary(model)
                    return
            except UpstreamError as error:
                # It answers nothing, or badly, while its nodes load: that is what waiting is for.
                trouble = error.detail
            await self._clock.sleep(self._times.look)
        raise UpstreamTimeout(
            f"it was not ready within {self._times.ready:g} s: {trouble}", provider=self._cluster
        )

    def _told(self, model: str, before: ClusterStatus, seconds: float) -> Switched:
        return Switched(
            cluster=self._cluster, model=model, before=before.model_name, seconds=seconds
        )
