"""The import contracts of pyproject.toml, run on a small tree, break where something is planted."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

from tests.architecture.source import ROOT

CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
    "importlinter"
]["contracts"]
NAMES = {contract["id"]: contract["name"] for contract in CONTRACTS}
PACKAGES = re.findall(r"\w+", " ".join(CONTRACTS[0]["layers"]))

LAWFUL = {
    "ace/models.py": "import agentcore.kit.errors",
    "ace/store.py": "import sqlalchemy\nimport agentcore.ace.models",
    "ace/api.py": "import fastapi\nimport agentcore.ace.store",
    "kit/errors.py": "import json",
    "kit/db.py": "import sqlalchemy\nimport agentcore.kit.db_engine",
    "kit/db_engine.py": "import sqlalchemy",
    "kit/db_migrations.py": "import sqlalchemy\nimport agentcore.kit.db",
    "llm_gateway/providers/base.py": "",
    "llm_gateway/providers/openai.py": "import agentcore.llm_gateway.providers.base",
    "llm_gateway/providers/hybrid_router.py": "import agentcore.llm_gateway.providers.base",
    "app/main.py": "import agentcore.ace.api",
}
PLANTED = {
    "layers": {"kit/clock.py": "import agentcore.ace.models"},  # it closes a cycle, too
    "acyclic": {
        "execution/a/x.py": "import agentcore.execution.b.y",
        "execution/b/y.py": "def f():\n    import agentcore.execution.a.z",
        "execution/a/z.py": "",
    },
    "values": {
        "training/errors.py": "import agentcore.training.wire",
        "training/wire.py": "import aiohttp",
    },
    "providers": {
        "llm_gateway/providers/hybrid_router.py": "import agentcore.llm_gateway.providers.openai"
    },
    "fastapi": {"ace/routes.py": "from fastapi import Request"},
    "sqlalchemy": {"ace/queries.py": "import sqlalchemy.ext.asyncio"},
}


def verdicts(folder: Path, files: Mapping[str, str]) -> dict[str, bool]:
    """Whether each contract is kept by a tree of these files, in which every layer exists."""
    package = folder / "src" / "agentcore"
    modules = {f"{name}/__init__.py": "" for name in PACKAGES}
    for name, text in {"__init__.py": "", **modules, **files}.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        for parent in path.relative_to(package).parents:
            (package / parent / "__init__.py").touch()
    shutil.copy(ROOT / "pyproject.toml", folder)
    program = "from importlinter.cli import lint_imports; lint_imports(no_cache=True)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": "src", "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    found = dict(re.findall(r"^(.+) (KEPT|BROKEN)", done.stdout, re.MULTILINE))
    assert set(found) == set(NAMES.values()), done.stdout + done.stderr
    return {key: found[name] == "KEPT" for key, name in NAMES.items()}


def test_a_lawful_tree_keeps_every_contract(tmp_path: Path) -> None:
    assert verdicts(tmp_path, LAWFUL) == dict.fromkeys(NAMES, True)


def test_each_contract_breaks_where_something_is_planted(tmp_path: Path) -> None:
    planted = {name: files for name, files in PLANTED.items() if name != "layers"}
    files = {path: text for each in planted.values() for path, text in each.items()}
    assert set(PLANTED) == set(NAMES)
    assert verdicts(tmp_path, {**LAWFUL, **files}) == {
        **dict.fromkeys(NAMES, False),
        "layers": True,
    }


def test_an_import_that_points_up_is_refused(tmp_path: Path) -> None:
    assert not verdicts(tmp_path, {**LAWFUL, **PLANTED["layers"]})["layers"]


def test_a_package_without_a_layer_is_refused(tmp_path: Path) -> None:
    assert not verdicts(tmp_path, {**LAWFUL, "extras/__init__.py": ""})["layers"]
