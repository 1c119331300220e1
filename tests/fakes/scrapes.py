"""What dashboards and alerts ask for, held against a scrape of ``/metrics``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import yaml
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.architecture import metrics
from tests.architecture.source import ROOT

DASHBOARDS = ROOT / "monitoring" / "grafana-dashboards"
ALERTS = ROOT / "monitoring" / "alerts"
# Prometheus adds them when it scrapes.
OF_THE_TARGET = frozenset({"instance", "job"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """One expression of a panel or a rule, and the labels that its words beside it name."""

    where: str
    expression: str
    words: str = ""

    @property
    def series(self) -> set[str]:
        return metrics.asked(self.expression)

    @property
    def labels(self) -> set[str]:
        """Of the samples: those that are grouped by, matched or told; ``le`` is every bucket's."""
        grouped = re.findall(r"\b(?:by|on|without)\s*\(([^)]*)\)", self.expression)
        matched = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", self.expression)
        told = re.findall(r"{{\s*(?:\$labels\.)?(\w+)\s*}}", self.words)
        names = {name.strip() for names in grouped for name in names.split(",")}
        return {name for name in (*names, *matched, *told) if name} - OF_THE_TARGET


def panels(dashboard: str) -> Iterator[Asking]:
    document = json.loads((DASHBOARDS / dashboard).read_text(encoding="utf-8"))
    for panel in document["panels"]:
        for target in panel["targets"]:
            yield Asking(
                where=panel["title"], expression=target["expr"], words=target["legendFormat"]
            )


def alerts(rules: str) -> Iterator[Asking]:
    document = yaml.safe_load((ALERTS / rules).read_text(encoding="utf-8"))
    for group in document["groups"]:
        for rule in group["rules"]:
            told = rule["annotations"]["description"]
            yield Asking(where=rule["alert"], expression=rule["expr"], words=told)


def samples_of(scrape: str) -> list[Sample]:
    return [
        sample for family in text_string_to_metric_families(scrape) for sample in family.samples
    ]


def lacking(asked: Iterable[Asking], samples: Iterable[Sample]) -> list[str]:
    """What is asked for and not there."""
    there = [(sample.name, sample.labels.keys()) for sample in samples]
    return [
        f"{one.where}: {name} with {sorted(one.labels)}"
        for one in asked
        for name in sorted(one.series)
        if not any(name == found and one.labels <= labels for found, labels in there)
    ]
