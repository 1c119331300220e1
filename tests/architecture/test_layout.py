from __future__ import annotations

import tomllib
from pathlib import PurePosixPath

from alembic.config import Config
from alembic.script import ScriptDirectory

from tests.architecture import layout
from tests.architecture.source import ROOT, expect_none, found, product
from tests.architecture.source import tests as all_tests


def test_each_module_has_its_test_file() -> None:
    findings = layout.untested(product(), [source.path for source in all_tests()])
    expect_none(findings)


def test_each_package_lists_what_it_exports() -> None:
    findings = found(layout.surface, product())
    expect_none(findings)


def test_no_file_holds_traces_of_a_machine() -> None:
    findings = [
        finding
        for path in layout.kept_files()
        for finding in layout.traces(
            PurePosixPath(path.relative_to(ROOT).as_posix()),
            path.read_text(encoding="utf-8", errors="replace"),
        )
    ]
    expect_none(findings)


def test_each_dependency_is_used() -> None:
    findings = layout.unused_dependencies(
        layout.project_requirements(), layout.third_party(product()), layout.provided_modules()
    )
    expect_none(findings)


def test_migrations_have_one_head() -> None:
    settings = Config()
    settings.set_main_option("script_location", str(ROOT / "alembic"))
    heads = ScriptDirectory.from_config(settings).get_heads()
    assert len(heads) == 1, f"{heads}"


def test_departures_name_a_page_and_a_replacement() -> None:
    page = ROOT / "docs" / "adr" / "promises.toml"
    departures = tomllib.loads(page.read_text(encoding="utf-8"))
    expect_none(
        finding for name, entry in departures.items() for finding in layout.lame(name, entry)
    )
