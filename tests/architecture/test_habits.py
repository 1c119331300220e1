from __future__ import annotations

from tests.architecture import habits
from tests.architecture.source import everything, expect_none, found, product
from tests.architecture.source import tests as all_tests


def test_nothing_swallows_every_error() -> None:
    findings = found(habits.broad_excepts, everything())
    expect_none(findings)


def test_what_is_excepted_exists() -> None:
    known = [(source.module, each.name) for source in product() for each in source.functions]
    assert {f"{module}:{name}" for module, name in known} >= habits.SUPERVISOR_LOOPS
    assert {name for _, name in known} >= habits.SPECIFIED_COROUTINES


def test_tests_use_fakes_and_the_chosen_clients() -> None:
    findings = found(habits.mocks_and_foreign_clients, all_tests())
    expect_none(findings)


def test_nothing_is_patched_by_a_dotted_name() -> None:
    findings = found(habits.patches_by_string, all_tests())
    expect_none(findings)


def test_names_are_nouns_of_the_subject() -> None:
    findings = found(habits.vague_names, everything())
    expect_none(findings)


def test_suppressions_name_a_rule_and_a_reason() -> None:
    findings = found(habits.unexplained_suppressions, everything())
    expect_none(findings)


def test_private_names_stay_in_their_module() -> None:
    findings = found(habits.private_imports, everything())
    expect_none(findings)


def test_constructors_take_their_collaborators() -> None:
    findings = found(habits.built_collaborators, product())
    expect_none(findings)


def test_chance_is_injected() -> None:
    findings = found(habits.global_chance, product())
    expect_none(findings)


def test_coroutines_await_something() -> None:
    ports = habits.port_methods(product())
    findings = [each for source in product() for each in habits.idle_coroutines(source, ports)]
    expect_none(findings)


def test_no_model_is_copied() -> None:
    findings = habits.copied_models(product())
    expect_none(findings)


def test_no_emoji() -> None:
    findings = found(habits.emoji, product())
    expect_none(findings)
