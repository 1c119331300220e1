"""Alert rules: each can fire, is told apart from a healthy series, and leads to its runbook.

Where there is a ``promtool``, it runs the rules' own tests, too.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.architecture import metrics, pages
from tests.architecture.source import ROOT, expect_none

FOLDER = ROOT / "monitoring" / "alerts"
RULES = sorted(path for path in FOLDER.glob("*.yml") if not path.name.endswith(".test.yml"))
CASES = sorted(FOLDER.glob("*.test.yml"))
FUNCTIONS = {"sum", "max", "min", "by", "rate", "increase", "histogram_quantile"}
SPAN = re.compile(r"\d+[smhdw]")
SEVERITIES = {"critical", "warning"}


def rules() -> list[dict[str, Any]]:
    documents = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in RULES]
    groups = chain.from_iterable(document["groups"] for document in documents)
    return [rule for group in groups for rule in group["rules"]]


def faults(rule: dict[str, Any]) -> list[str]:
    """Why the rule is refused, never fires, or leads nowhere."""
    expression: str = rule["expr"]
    found = []
    if expression.count("(") != expression.count(")"):
        found.append("its parentheses do not fit")
    found += [
        f"{name} is no function"
        for name in re.findall(r"(\w+)\s*\(", expression)
        if name not in FUNCTIONS
    ]
    found += [
        f"the counter {name} only grows: use rate() or increase()"
        for name in metrics.asked(expression)
        if name.endswith(("_total", "_bucket", "_count", "_sum"))
        and not re.search(rf"(?:rate|increase)\({name}\[\d+[smhd]\]\)", expression)
    ]
    if "histogram_quantile" in expression and not re.search(
        r"histogram_quantile\([\d.]+, sum by \(le\) \(rate\(\w+_bucket\[", expression
    ):
        found.append("histogram_quantile wants sum by (le) (rate(..._bucket[...]))")
    if not re.search(r"[<>]=?|==|!=", expression):
        found.append("it compares with nothing")
    if not SPAN.fullmatch(rule["for"]):
        found.append(f"for: {rule['for']} is no duration")
    if rule["labels"]["severity"] not in SEVERITIES:
        found.append(f"severity is none of {sorted(SEVERITIES)}")
    link = f"[{rule['alert']}]({rule['annotations']['runbook']})"
    return [*found, *pages.dead_links(ROOT / "README.md", link)]


def test_each_rule_can_fire_and_leads_to_its_runbook() -> None:
    expect_none(f"{rule['alert']}: {fault}" for rule in rules() for fault in faults(rule))


def test_each_rule_has_a_case_that_fires_and_one_that_does_not() -> None:
    cases: set[tuple[str, bool]] = set()
    for path in CASES:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert {(path.parent / name) for name in document["rule_files"]} <= set(RULES)
        for case in chain.from_iterable(test["alert_rule_test"] for test in document["tests"]):
            cases.add((case["alertname"], bool(case["exp_alerts"])))
    wanted = {(rule["alert"], fires) for rule in rules() for fires in (True, False)}
    assert cases == wanted


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("ace_llm_cost_usd > 100", []),
        ("ace_llm_cost_usd_total > 100", ["the counter ace_llm_cost_usd_total only grows"]),
        ("histogram_quantile(0.95, x_seconds) > 0.1", ["histogram_quantile wants"]),
        ("sum(up", ["its parentheses", "it compares with nothing"]),
        ("most(up) > 1", ["most is no function"]),
    ],
)
def test_a_rule_that_cannot_fire_is_found(expression: str, told: list[str]) -> None:
    rule = rules()[0] | {"expr": expression}
    found = faults(rule)
    assert [part for part in told if not any(part in one for one in found)] == []
    assert len(found) == len(told)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool here")
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name)
def test_promtool_runs_the_cases(path: Path) -> None:
    done = subprocess.run(
        ["promtool", "test", "rules", path.name],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
