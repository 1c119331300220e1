from __future__ import annotations

import importlib
import sys

import pytest

from agentcore.kit.errors import AgentCoreError
from tests.architecture import errors
from tests.architecture.source import expect_none, product


@pytest.fixture(scope="module")
def tree() -> list[errors.ErrorType]:
    """All errors of the product: importing a module defines its own."""
    for module in errors.defining_modules(product()):
        importlib.import_module(module)
    modules = sys.modules
    found = errors.subclasses(AgentCoreError)
    # Tests plant classes of the same modules, which live on until they are collected.
    return [
        each for each in found if getattr(modules.get(each.__module__), each.__name__, None) is each
    ]


def test_each_error_decides_its_wire_itself(tree: list[errors.ErrorType]) -> None:
    findings = [finding for error in tree for finding in errors.undeclared(error)]
    expect_none(findings)


def test_each_error_says_something_a_client_understands(tree: list[errors.ErrorType]) -> None:
    findings = [finding for error in tree for finding in errors.misplaced(error)]
    expect_none(findings)


def test_codes_are_unique(tree: list[errors.ErrorType]) -> None:
    findings = errors.shared_codes(tree)
    expect_none(findings)
