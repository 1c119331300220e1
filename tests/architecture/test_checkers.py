"""Each rule finds what was planted for it, and leaves its lawful neighbour alone."""

from __future__ import annotations

import ast
from textwrap import dedent

import pytest

from tests.architecture import budgets, habits, imports, layout
from tests.architecture.source import Rule, Source


def source(text: str, path: str = "src/agentcore/kit/planted.py") -> Source:
    return Source.of(path, dedent(text))


LONG_BODY = "\n".join("    x += 1" for _ in range(60))
NARROW = "try:\n    f()\nexcept ValueError:\n    pass\n"
RERAISED = """
    try:
        f()
    except Exception:
        if g():
            raise
        else:
            raise KeyError from None
"""
ONE_WAY_OUT = """
    try:
        f()
    except Exception:
        if g():
            raise
"""
IN_A_LOOP = """
    class Supervisor:
        def _keep(self) -> None:
            try:
                f()
            except Exception:
                g()
"""
HANDLER = """
    async def show(request: Request) -> Response:
        return Response()

    routes = [Route("/", show)]
"""


@pytest.mark.parametrize(
    ("rule", "guilty", "innocent"),
    [
        pytest.param(budgets.long_files, "x = 1\n" * 501, "x = 1\n" * 500, id="long file"),
        pytest.param(
            budgets.long_functions,
            f"def f(x: int) -> None:\n{LONG_BODY}\n",
            f"def f(x: int) -> None:\n{LONG_BODY[11:]}\n",
            id="long function",
        ),
        pytest.param(
            budgets.unannotated,
            "def f(x: int): ...",
            "class A:\n    def f(self, x: int) -> None: ...",
            id="no return annotation",
        ),
        pytest.param(
            budgets.unannotated,
            "class A:\n    @staticmethod\n    def f(x) -> None: ...",
            "class A:\n    @staticmethod\n    def f(x: int) -> None: ...",
            id="no parameter annotation",
        ),
        pytest.param(
            budgets.unannotated,
            "def f(*args, **kwargs: int) -> None: ...",
            "def f(*args: int, **kwargs: int) -> None: ...",
            id="no annotation of the rest",
        ),
        pytest.param(habits.broad_excepts, "try:\n    f()\nexcept:\n    pass\n", NARROW, id="bare"),
        pytest.param(habits.broad_excepts, ONE_WAY_OUT, RERAISED, id="one way out"),
        pytest.param(
            habits.broad_excepts,
            "def f() -> None:\n    try:\n        g()\n    except (A, Exception):\n        g()\n",
            "def f() -> None:\n    try:\n        g()\n    except (A, B):\n        g()\n",
            id="broad in a tuple",
        ),
        pytest.param(
            habits.broad_excepts,
            "with contextlib.suppress(Exception):\n    f()\n",
            "with contextlib.suppress(OSError):\n    f()\n",
            id="suppress",
        ),
        pytest.param(
            habits.mocks_and_foreign_clients,
            "from unittest import mock",
            "from unittest import TestCase",
            id="mock",
        ),
        pytest.param(
            habits.mocks_and_foreign_clients, "import httpx", "import httpx2", id="foreign client"
        ),
        pytest.param(
            habits.patches_by_string,
            'def test_a(monkeypatch: M) -> None:\n    monkeypatch.setattr("a.b", 1)',
            'def test_a(monkeypatch: M) -> None:\n    monkeypatch.setattr(a, "b", 1)',
            id="patch by name",
        ),
        pytest.param(
            habits.vague_names, "class TokenHelper: ...", "class TaskManager: ...", id="vague class"
        ),
        pytest.param(
            habits.vague_names, "class RouterV2: ...", "class Router: ...", id="numbered class"
        ),
        pytest.param(
            habits.unexplained_suppressions,
            "x = 1  # noqa: F401\n",
            "x = 1  # noqa: F401  (the import registers it)\n",
            id="noqa without reason",
        ),
        pytest.param(
            habits.unexplained_suppressions,
            "x = 1  # type: ignore\n",
            "x = 1  # type: ignore[attr-defined]  # set by the C module\n",
            id="blanket ignore",
        ),
        pytest.param(
            habits.private_imports,
            "from agentcore.kit.db import _pool",
            "from agentcore.kit.db import Database",
            id="private import",
        ),
        pytest.param(
            habits.built_collaborators,
            "def f(clock: C | None = None) -> None:\n    c = clock or SystemClock()",
            "def f(clock: C | None = None) -> None:\n    c = clock or clock_of()",
            id="or builds",
        ),
        pytest.param(
            habits.built_collaborators,
            "def f(*, c: C | None = None) -> None:\n    d = C() if c is None else c",
            "def f(*, c: C) -> None:\n    d = C() if c is None else c",
            id="if builds",
        ),
        pytest.param(
            habits.global_chance,
            "import random as chance\nchance.uniform(0, 1)",
            "import random\ndraw = random.random\nown = random.Random(7)",
            id="shared generator",
        ),
        pytest.param(habits.emoji, 'log.info("done \N{ROCKET}")', 'log.info("done ✓")', id="emoji"),
        pytest.param(
            imports.libraries_out_of_place, "import redis.asyncio", "import orjson", id="keeper"
        ),
    ],
)
def test_rule_finds_what_was_planted(rule: Rule, guilty: str, innocent: str) -> None:
    assert list(rule(source(guilty)))
    assert list(rule(source(innocent))) == []


def test_a_listed_loop_may_catch_everything() -> None:
    in_place = source(IN_A_LOOP, "src/agentcore/kit/supervisor.py")
    assert list(habits.broad_excepts(in_place)) == []
    assert list(habits.broad_excepts(source(IN_A_LOOP)))


def test_drawers_are_found_by_their_file_name() -> None:
    assert list(habits.vague_names(source("", "src/agentcore/kit/http_utils.py")))
    assert list(habits.vague_names(source("", "src/agentcore/common/values.py")))
    assert list(habits.vague_names(source("", "src/agentcore/kit/commons.py"))) == []


def test_anys_are_counted_where_they_are_said() -> None:
    text = "from typing import Any\nimport typing\na: Any\nb: dict[str, typing.Any]\nc: list['Any']"
    assert budgets.anys(source(text)) == 3
    assert budgets.any_density([source(text)]) == 600.0


def test_a_package_may_bind_eight_names() -> None:
    path = "src/agentcore/kit/__init__.py"
    eight = "from agentcore.kit.a import " + ", ".join("abcdefgh")
    assert list(budgets.init_names(source(eight, path))) == []
    assert list(budgets.init_names(source(f"{eight}\nVERSION = 1", path)))


def test_names_are_found_behind_conditions() -> None:
    tree = ast.parse("if TYPE_CHECKING:\n    from a import b\nc, d = 1, 2\n__all__ = ['b']")
    assert budgets.bound_names(tree.body) == {"b", "c", "d"}


def test_figures_tell_the_share_of_long_functions() -> None:
    long = "def f() -> None:\n" + "    x = 1\n" * 50
    short = "def g() -> None: ...\n" * 3
    assert budgets.Figures.of([source(long), source(short)]).long_share == 0.25


@pytest.mark.parametrize(
    ("text", "ports", "guilty"),
    [
        ("async def f() -> None: ...", set(), True),
        ("async def f() -> None: ...", {"f"}, False),
        ("async def f() -> None:\n    await g()", set(), False),
        ("async def f() -> None:\n    async def g() -> None:\n        await h()", set(), True),
        ("async def f() -> None:\n    return [x async for x in y]", set(), False),
        ("@router.get('/')\nasync def f() -> None: ...", set(), False),
        (HANDLER, set(), False),
    ],
)
def test_idle_coroutines(text: str, ports: set[str], guilty: bool) -> None:
    assert bool(list(habits.idle_coroutines(source(text), ports))) is guilty


def test_port_methods_come_from_protocols() -> None:
    text = """
        class Clock(Protocol):
            def now(self) -> datetime: ...

        class SystemClock:
            def later(self) -> datetime: ...
    """
    assert habits.port_methods([source(text)]) == {"now"}


def test_a_copied_model_is_found_across_modules() -> None:
    fields = "\n    ".join(f"{name}: int" for name in "abcd")
    here = source(f"class Task:\n    {fields}")
    there = source(f"class TaskRow:\n    {fields}", "src/agentcore/ace/planted.py")
    other = source(f"class Other:\n    {fields}\n    e: int", "src/agentcore/ace/other.py")
    assert len(habits.copied_models([here, there, other])) == 1
    assert habits.copied_models([here, other]) == []


def cycle_of(**modules: str) -> list[str]:
    sources = [source(text, f"src/agentcore/{name}.py") for name, text in modules.items()]
    return imports.cycles(imports.graph(sources))


@pytest.mark.parametrize(
    "closing",
    [
        "from agentcore import a",
        "import agentcore.a",
        "def f() -> None:\n    from agentcore.a import x",
        "if TYPE_CHECKING:\n    from agentcore.a import x",
    ],
)
def test_a_cycle_is_found_wherever_its_import_stands(closing: str) -> None:
    assert cycle_of(a="from agentcore.b import y", b="from agentcore import c", c=closing)


def test_a_diamond_is_no_cycle() -> None:
    top = "from agentcore import b, c"
    assert cycle_of(a=top, b="import agentcore.d", c="import agentcore.d", d="import os") == []


def test_a_package_is_imported_when_a_name_of_its_own_is() -> None:
    package = source("from agentcore.p.m import x", "src/agentcore/p/__init__.py")
    module = source("from agentcore.p import y", "src/agentcore/p/m.py")
    sibling = source("from agentcore.p import m", "src/agentcore/p/n.py")
    assert imports.cycles(imports.graph([package, module]))
    assert (
        imports.cycles(imports.graph([package, source("", "src/agentcore/p/m.py"), sibling])) == []
    )


def test_a_keeper_may_import_its_library() -> None:
    text = "from redis.asyncio import Redis"
    assert list(imports.libraries_out_of_place(source(text, "src/agentcore/kit/cache.py"))) == []
    assert list(imports.libraries_out_of_place(source(text, "src/agentcore/ace/store.py")))


MODULE = "def f() -> None: ...\n"


@pytest.mark.parametrize(
    ("tests", "missing"),
    [
        (["tests/unit/ace/test_store.py"], False),
        (["tests/contracts/test_ace_store.py"], False),
        (["tests/unit/a2a_protocol/test_store.py"], True),
        (["tests/unit/ace/store.py"], True),
        ([], True),
    ],
)
def test_a_module_needs_tests_of_its_own_package(tests: list[str], missing: bool) -> None:
    ours = source(MODULE, "src/agentcore/ace/store.py")
    theirs = source("from typing import Protocol", "src/agentcore/a2a_protocol/store.py")
    paths = [Source.of(path, "").path for path in tests]
    assert bool(layout.untested([ours, theirs], paths)) is missing


def test_declarations_need_no_tests() -> None:
    assert layout.only_declares(source("class Clock(Protocol):\n    def now(self) -> int: ...\n"))
    assert layout.only_declares(source("Json = dict[str, str]\n"))
    record = "@dataclass(frozen=True)\nclass Row:\n    x: int\n"
    assert layout.only_declares(source(record))
    assert not layout.only_declares(source(f"{record}    def y(self) -> int: ...\n"))
    assert not layout.only_declares(source(MODULE))
    assert not layout.only_declares(source("class Clock:\n    x: int\n"))


@pytest.mark.parametrize(
    ("text", "guilty"),
    [
        ("from agentcore.kit.db import Database", True),
        ('from agentcore.kit.db import Database\n__all__ = ["Database"]', False),
        ('from agentcore.kit.db import Database\n__all__ = ["Database", "Cache"]', True),
        ('def __getattr__(name: str) -> object: ...\n__all__ = ["Database"]', False),
        ('"""Words only."""', False),
    ],
)
def test_surface(text: str, guilty: bool) -> None:
    findings = list(layout.surface(source(text, "src/agentcore/kit/__init__.py")))
    assert bool(findings) is guilty


@pytest.mark.parametrize(
    "text",
    [
        "path = '" + "/ho" + "me/alice/project'",
        "see /wo" + "rk/main/src",
        "https://far" + "m-12.example/simple",
        "--index-" + "url https://example.org/simple",
        "-----BEGIN" + " RSA PRIVATE KEY-----",
        "key = sk-" + "a1B2c3D4" * 4,
        "<<<<<<" + "< HEAD\n",
        "# TO" + "DO: later",
    ],
)
def test_traces_are_found(text: str) -> None:
    assert list(layout.traces(source("").path, f"first line\n{text}\n"))


@pytest.mark.parametrize(
    "text", ["WORKDIR /app", "src/work/item", "$HOME/.local", "sk-short", "/home/user/.agentcore"]
)
def test_plain_text_holds_no_traces(text: str) -> None:
    assert list(layout.traces(source("").path, text)) == []


def test_a_dependency_that_nothing_imports_is_found() -> None:
    provided = {"jwt": ["PyJWT"], "redis": ["redis"]}
    wanted = ["pyjwt>=2", "redis>=8,<9", "uvloop>=0.23; sys_platform != 'win32'", "limits"]
    assert layout.unused_dependencies(wanted, {"jwt"}, provided) == ["limits", "redis"]


PAGE = "docs/adr/0002-module-paths.md"


@pytest.mark.parametrize(
    ("departure", "lame"),
    [
        ({"instead": "agentcore.kit.db:Database.ping", "adr": PAGE}, False),
        ({"instead": "One sentence on what does it now.", "adr": PAGE}, False),
        ({"instead": "agentcore.kit.db:Database.pong", "adr": PAGE}, True),
        ({"instead": "agentcore.kit.gone:Database", "adr": PAGE}, True),
        ({"instead": "agentcore.kit.db:Database", "adr": "docs/adr/0000-gone.md"}, True),
        ({"instead": "agentcore.kit.db:Database"}, True),
    ],
)
def test_departures(departure: dict[str, str], lame: bool) -> None:
    assert bool(list(layout.lame("000-planted", departure))) is lame
