from __future__ import annotations

from prometheus_client import CollectorRegistry

from agentcore.training.openenv.metrics import MOST_REGISTERED, OpenEnvMetrics

LABELS = {"environment": "chess", "side": "client"}


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, {**LABELS, **labels})


def test_an_episode_is_measured() -> None:
    registry = CollectorRegistry()
    watch = OpenEnvMetrics(registry, ["chess"]).watch("chess", "client")
    session = watch.opened()
    assert value(registry, "openenv_sessions") == 1
    for _ in range(2):
        session.reset(0.02)
        session.stepped(0.001, -0.5, done=False)
        session.stepped(0.001, 2.0, done=True)
    session.closed()
    assert value(registry, "openenv_sessions") == 0
    assert value(registry, "openenv_reset_duration_seconds_count") == 2
    assert value(registry, "openenv_step_duration_seconds_count") == 4
    # Rewards may be negative, and then a histogram has no sum.
    assert value(registry, "openenv_episode_reward_bucket", le="1.0") == 0
    assert value(registry, "openenv_episode_reward_bucket", le="3.0") == 2
    assert value(registry, "openenv_episode_length_steps_sum") == 4
    assert value(registry, "openenv_episode_reward_count") == 2


def test_an_episode_that_did_not_end_has_no_reward() -> None:
    registry = CollectorRegistry()
    session = OpenEnvMetrics(registry, ["chess"]).watch("chess", "client").opened()
    session.reset(0.1)
    session.stepped(0.1, 1.0, done=False)
    session.lost()
    session.closed()
    assert value(registry, "openenv_episode_reward_count") == 0
    assert value(registry, "openenv_lost_sessions_total") == 1


def test_registered_environments_have_labels_of_their_own_until_there_are_too_many() -> None:
    registry = CollectorRegistry()
    metrics = OpenEnvMetrics(registry, ["chess"])
    for _ in range(2):
        for number in range(3 * MOST_REGISTERED):
            metrics.watch(f"registered-{number}", "client").refused()
    metrics.watch("chess", "client").refused()
    refusals = "openenv_capacity_refusals_total"
    assert value(registry, refusals, environment="registered-99") == 2
    assert value(registry, refusals, environment="registered-100") is None
    assert value(registry, refusals, environment="other") == 4 * MOST_REGISTERED
    assert value(registry, refusals) == 1
    environments = {
        sample.labels.get("environment")
        for metric in registry.collect()
        for sample in metric.samples
    }
    assert len(environments) == MOST_REGISTERED + 2
