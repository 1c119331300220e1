from __future__ import annotations

import pytest

from tests.architecture import metrics
from tests.architecture.source import ROOT, Source, expect_none, found, product


@pytest.fixture(scope="module")
def own() -> list[Source]:
    """Without the simulators, which serve another program's metrics under its names."""
    return [source for source in product() if not source.module.startswith("agentcore.simulators")]


def test_dashboards_and_alerts_ask_for_metrics_that_exist(own: list[Source]) -> None:
    known = metrics.defined(own)
    files = metrics.monitoring_files(ROOT / "monitoring")
    findings = [f"{path.name}: {name}" for path in files for name in metrics.unknown(path, known)]
    expect_none(findings)


def test_metric_names_can_be_read_off_the_source(own: list[Source]) -> None:
    findings = found(metrics.unreadable, own)
    expect_none(findings)


def test_no_label_grows_with_agents_tasks_or_users(own: list[Source]) -> None:
    findings = found(metrics.unbounded_labels, own)
    expect_none(findings)


def test_metrics_live_in_their_packages_metrics_module(own: list[Source]) -> None:
    findings = found(metrics.homeless, own)
    expect_none(findings)
