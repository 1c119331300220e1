from __future__ import annotations

from tests.architecture import budgets
from tests.architecture.source import everything, expect_none, found, product


def test_files_keep_their_cap() -> None:
    findings = found(budgets.long_files, everything())
    expect_none(findings)


def test_functions_fit_on_a_screen() -> None:
    findings = found(budgets.long_functions, everything())
    expect_none(findings)


def test_few_functions_are_long() -> None:
    figures = budgets.Figures.of(product())
    assert figures.long_share <= budgets.LONG_FUNCTION_SHARE, f"\n{figures}"


def test_every_signature_is_annotated() -> None:
    findings = found(budgets.unannotated, everything())
    expect_none(findings)


def test_any_stays_rare() -> None:
    density = budgets.any_density(product())
    worst = sorted(product(), key=budgets.anys, reverse=True)[:5]
    names = [f"{source.path}: {budgets.anys(source)}" for source in worst]
    assert density <= budgets.ANY_PER_1000_LINES, f"{density:.2f} per 1000 lines; {names}"


def test_packages_re_export_little() -> None:
    findings = found(budgets.init_names, product())
    expect_none(findings)
