from __future__ import annotations

import ast

from docs import _generate

from agentcore.settings import Settings
from tests.architecture.source import expect_none, product


def test_the_settings_page_is_what_the_settings_say() -> None:
    written = _generate.PAGE.read_text(encoding="utf-8")
    wanted = _generate.settings_page()
    assert written == wanted, "run: python3 dev.py run python docs/_generate.py"


def test_every_setting_has_a_meaning() -> None:
    sections = _generate.sections(Settings, _generate.variables_of(Settings))
    findings = [
        setting.key
        for section in sections
        for setting in section.settings
        if not setting.description.endswith(".")
    ]
    expect_none(findings)


def test_every_setting_is_read_somewhere() -> None:
    read = {
        node.attr
        for source in product()
        for node in source.nodes
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    sections = _generate.sections(Settings, _generate.variables_of(Settings))
    keys = [setting.key for section in sections for setting in section.settings]
    findings = [key for key in keys if key.rpartition(".")[2] not in read]
    expect_none(findings)
