"""Prometheus metrics of environment sessions, seen by who plays them and by who serves them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from agentcore.training.openenv.ports import EnvironmentWatch, SessionWatch

Side = Literal["client", "server"]
LABELS = ("environment", "side")
# Environments beyond these share one label value.
OTHER = "other"
MOST_REGISTERED = 100
SECONDS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025),
    *(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
REWARDS = (-100, -30, -10, -3, -1, -0.3, 0, 0.3, 1, 3, 10, 30, 100)
LENGTHS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class OpenEnvMetrics:
    """``side`` is client for the sessions of callers, server for environments served here."""

    def __init__(self, registry: CollectorRegistry, environments: Collection[str]) -> None:
        """``environments`` have a label value of their own, and the first hundred others."""
        self._names = set(environments)
        self._most = len(self._names) + MOST_REGISTERED
        histogram = partial(Histogram, labelnames=LABELS, registry=registry)
        counter = partial(Counter, labelnames=LABELS, registry=registry)
        self.step = histogram("openenv_step_duration_seconds", "Time of one step", buckets=SECONDS)
        self.reset = histogram(
            "openenv_reset_duration_seconds", "Time of one reset", buckets=SECONDS
        )
        self.sessions = Gauge(
            "openenv_sessions", "Sessions that are open", LABELS, registry=registry
        )
        self.refusals = counter(
            "openenv_capacity_refusals_total", "Sessions refused because all were taken"
        )
        self.lost = counter("openenv_lost_sessions_total", "Sessions that ended inside an episode")
        self.cut = counter(
            "openenv_cut_calls_total",
            "Calls of environments that went on in their threads when nobody waited any more",
        )
        self.cut_running = Gauge(
            "openenv_cut_calls_running",
            "Those that have not ended; a slot is taken by each that ended its session",
            LABELS,
            registry=registry,
        )
        self.rewards = histogram(
            "openenv_episode_reward", "Total reward of an episode that ended", buckets=REWARDS
        )
        self.lengths = histogram(
            "openenv_episode_length_steps", "Steps of an episode that ended", buckets=LENGTHS
        )

    def watch(self, environment: str, side: Side) -> EnvironmentWatch:
        """What was played of ``environment``, which is the name of one that exists."""
        if environment not in self._names:
            if len(self._names) >= self._most:
                return _Watch(self, OTHER, side)
            self._names.add(environment)
        return _Watch(self, environment, side)


class _Watch:
    """The metrics of one environment, their label children looked up once."""

    def __init__(self, metrics: OpenEnvMetrics, name: str, side: Side) -> None:
        self.step = metrics.step.labels(name, side)
        self.reset = metrics.reset.labels(name, side)
        self.sessions = metrics.sessions.labels(name, side)
        self.refusals = metrics.refusals.labels(name, side)
        self.lost = metrics.lost.labels(name, side)
        self.cut = metrics.cut.labels(name, side)
        self.cut_running = metrics.cut_running.labels(name, side)
        self.rewards = metrics.rewards.labels(name, side)
        self.lengths = metrics.lengths.labels(name, side)

    def opened(self) -> SessionWatch:
        self.sessions.inc()
        return _Tally(self)

    def refused(self) -> None:
        self.refusals.inc()

    def left_running(self) -> Callable[[], None]:
        self.cut.inc()
        self.cut_running.inc()
        return self.cut_running.dec


class _Tally:
    """Adds up the episode of one session."""

    def __init__(self, watch: _Watch) -> None:
        self._watch = watch
        self._reward = 0.0
        self._steps = 0

    def reset(self, seconds: float) -> None:
        self._watch.reset.observe(seconds)
        self._reward, self._steps = 0.0, 0

    def stepped(self, seconds: float, reward: float, *, done: bool) -> None:
        self._watch.step.observe(seconds)
        self._reward += reward
        self._steps += 1
        if done:
            self._watch.rewards.observe(self._reward)
            self._watch.lengths.observe(self._steps)

    def lost(self) -> None:
        self._watch.lost.inc()

    def closed(self) -> None:
        self._watch.sessions.dec()


class Unwatched:
    """Counts nothing: both ports, for those who want no metrics."""

    def opened(self) -> SessionWatch:
        return self

    def refused(self) -> None:
        return

    def left_running(self) -> Callable[[], None]:
        return self.closed

    def reset(self, seconds: float) -> None:
        return

    def stepped(self, seconds: float, reward: float, *, done: bool) -> None:
        return

    def lost(self) -> None:
        return

    def closed(self) -> None:
        return


UNWATCHED = Unwatched()
