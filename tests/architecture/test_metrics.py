from __future__ import annotations

from tests.architecture import metrics
from tests.architecture.source import ROOT, expect_none, found, product

# The simulators serve another program's metrics under its names.
OWN = [source for source in product() if not source.module.startswith("agentcore.simulators")]


def test_dashboards_and_alerts_ask_for_metrics_that_exist() -> None:
    known = metrics.defined(OWN)
    files = metrics.monitoring_files(ROOT / "monitoring")
    findings = [f"{path.name}: {name}" for path in files for name in metrics.unknown(path, known)]
    expect_none(findings)


def test_metric_names_can_be_read_off_the_source() -> None:
    findings = found(metrics.unreadable, OWN)
    expect_none(findings)


def test_no_label_grows_with_agents_tasks_or_users() -> None:
    findings = found(metrics.unbounded_labels, OWN)
    expect_none(findings)


def test_metrics_live_in_their_packages_metrics_module() -> None:
    findings = found(metrics.homeless, OWN)
    expect_none(findings)
