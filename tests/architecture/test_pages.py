from __future__ import annotations

from pathlib import Path

import pytest

from agentcore.cli.commands import app
from devtools.commands import COMMANDS
from tests.architecture import pages
from tests.architecture.source import ROOT, expect_none

PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "benchmarks").rglob("*.md")),
]


@pytest.fixture(scope="module")
def cli() -> pages.Cli:
    return pages.Cli.of(app)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_exist(page: Path, cli: pages.Cli) -> None:
    commands = pages.command_lines(page.read_text(encoding="utf-8"))
    findings = [wrong for words in commands if (wrong := pages.judge(words, set(COMMANDS), cli))]
    expect_none(findings)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    expect_none(pages.dead_links(page, page.read_text(encoding="utf-8")))


def test_dead_links_are_found(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("# One `two` three\n[x](#one-two-three) [y](b.md) [z](#four) [w](http://h)")
    found = list(pages.dead_links(page, page.read_text()))
    assert found == ["a.md: b.md: no such file", "a.md: #four: no such heading"]


def test_decisions_are_short_and_enforced() -> None:
    files = sorted((ROOT / "docs" / "adr").glob("0*.md"))
    findings = [
        finding
        for path in files
        for finding in pages.weak_decision(path, path.read_text(encoding="utf-8"))
    ]
    expect_none(findings)
