"""How the code reads: refusals that a syntax tree can see."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from tests.architecture.source import FUNCTION, Function, Located, Source, dotted, last_name

# Loops that own other people's code and must outlive any fault in it.
SUPERVISOR_LOOPS = frozenset(
    {
        "agentcore.kit.supervisor:Supervisor._keep",
        "agentcore.training.openenv.operations.running:Operations._ended",
        "agentcore.training.openenv.registration.monitoring:EnvironmentMonitor._one",
        "agentcore.training.openenv.threads:_compute",
        "agentcore.training.scheduler:TrainingScheduler._ended",
    }
)
BROAD = frozenset({"Exception", "BaseException"})
FOREIGN_TO_TESTS = ("unittest.mock", "mock", "pytest_mock", "pytest_asyncio", "httpx", "requests")
VAGUE_MODULES = re.compile(r"(?:^|_)(?:utils?|helpers?|common|misc)$")
VAGUE_CLASSES = re.compile(r"(?:Manager|Service|Helper|Utils?)$|Enhanced|Advanced|V\d$")
SPECIFIED_CLASSES = frozenset(
    {
        "AgentLifecycleManager",
        "ContextManager",
        "LLMService",
        "ParallaxClusterManager",
        "TaskManager",
    }
)
# Signatures that the specification makes awaitable, whatever their bodies need.
SPECIFIED_COROUTINES = frozenset(
    {
        "A2AOpenEnvAdapter.jsonrpc_to_action",
        "A2AOpenEnvAdapter.observation_to_jsonrpc_notification",
        "A2AOpenEnvAdapter.result_to_jsonrpc",
        "EvolutionWorker.enqueue_evolution_request",
        "EvolutionWorker.start",
        "HybridRouter.get_routing_stats",
        "SimpleCurator.deduplicate_deltas",
        "SimpleCurator.validate_delta",
    }
)
EMOJI = re.compile("[\U0001f300-\U0001faff]")


def broad_excepts(source: Source) -> Iterator[str]:
    """Handlers of everything that may end without raising, outside the listed loops."""
    if "except" not in source.text and "suppress" not in source.text:
        return
    for function in source.functions:
        if f"{source.module}:{function.name}" in SUPERVISOR_LOOPS:
            continue
        for node in _own_nodes(function.node):
            yield from _broad(source, node)
    for node in _own_nodes(source.tree):
        yield from _broad(source, node)


def _broad(source: Source, node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.ExceptHandler) and _is_broad(node.type) and not _raises(node.body):
        yield source.at(node, "swallows every error")
    if (
        isinstance(node, ast.Call)
        and last_name(node.func) == "suppress"
        and any(_is_broad(argument) for argument in node.args)
    ):
        yield source.at(node, "suppresses every error")


def _is_broad(caught: ast.expr | None) -> bool:
    if caught is None:
        return True
    if isinstance(caught, ast.Tuple):
        return any(_is_broad(element) for element in caught.elts)
    return last_name(caught) in BROAD


def _raises(body: Sequence[ast.stmt]) -> bool:
    """Whether every way through ``body`` ends in a raise."""
    last = body[-1]
    if isinstance(last, ast.Raise):
        return True
    if isinstance(last, ast.If):
        return bool(last.orelse) and _raises(last.body) and _raises(last.orelse)
    if isinstance(last, ast.With | ast.AsyncWith):
        return _raises(last.body)
    return isinstance(last, ast.Try) and bool(last.finalbody) and _raises(last.finalbody)


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """Nodes of a scope without those of the functions inside it."""
    waiting = [scope]
    while waiting:
        for child in ast.iter_child_nodes(waiting.pop()):
            if not isinstance(child, FUNCTION):
                yield child
                waiting.append(child)


def imported_modules(source: Source) -> Iterator[tuple[ast.stmt, str]]:
    """Each import with all it may name: ``a.b`` and ``a.b.c`` of ``from a.b import c``."""
    for node in source.nodes:
        if isinstance(node, ast.Import):
            for item in node.names:
                yield node, item.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node, node.module
            for item in node.names:
                yield node, f"{node.module}.{item.name}"


def mocks_and_foreign_clients(source: Source) -> Iterator[str]:
    for node, name in imported_modules(source):
        if any(name == banned or name.startswith(f"{banned}.") for banned in FOREIGN_TO_TESTS):
            yield source.at(node, f"imports {name}: write a fake that passes the port's suite")


def patches_by_string(source: Source) -> Iterator[str]:
    """``monkeypatch.setattr("package.name", ...)`` survives the name it patches."""
    for node in source.nodes:
        if not (isinstance(node, ast.Call) and node.args):
            continue
        patching = last_name(node.func) in {"setattr", "delattr"} and "monkeypatch" in dotted(
            node.func
        )
        if patching and isinstance(node.args[0], ast.Constant):
            yield source.at(node, f"patches {node.args[0].value!r} by its name")


def vague_names(source: Source) -> Iterator[str]:
    for part in source.path.with_suffix("").parts:
        if VAGUE_MODULES.search(part):
            yield f"{source.path} is a drawer: name what it holds"
    for node in source.nodes:
        name = node.name if isinstance(node, ast.ClassDef) else ""
        if VAGUE_CLASSES.search(name) and name not in SPECIFIED_CLASSES:
            yield source.at(node, f"class {name} says nothing: use a noun of the subject")


def unexplained_suppressions(source: Source) -> Iterator[str]:
    """``# noqa`` and ``# type: ignore`` name a rule and give a reason on the same line."""
    if not re.search(r"#\s*(noqa|type:\s*ignore)", source.text):
        return
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type != tokenize.COMMENT:
            continue
        if not re.match(r"#\s*(noqa|type:\s*ignore)", token.string):
            continue
        rest = re.sub(r"#\s*(noqa|type:\s*ignore)", "", token.string, count=1)
        named = re.match(r"\s*(?::\s*[A-Z]+\d+(?:\s*,\s*[A-Z]+\d+)*|\[[a-z\-, ]+\])", rest)
        reason = rest[named.end() :] if named else ""
        if not re.search(r"[a-z]{2}", reason):
            yield f"{source.path}:{token.start[0]} suppresses without a rule and a reason"


def private_imports(source: Source) -> Iterator[str]:
    """A name with an underscore belongs to its module."""
    for node in source.nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("agentcore"):
            for item in node.names:
                if item.name.startswith("_") and not item.name.startswith("__"):
                    yield source.at(node, f"imports the private {node.module}.{item.name}")


def built_collaborators(source: Source) -> Iterator[str]:
    """``x or X()`` where ``x: X | None = None``: constructors take collaborators."""
    for function in source.functions:
        optional = _none_defaults(function.node)
        if not optional:
            continue
        for node in _own_nodes(function.node):
            name, built = _fallback(node)
            if name in optional and built:
                yield source.at(node, f"{function.name} builds {built}() in place of {name}")


def _none_defaults(node: Function) -> set[str]:
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    pairs = [
        *zip(
            positional[len(positional) - len(arguments.defaults) :], arguments.defaults, strict=True
        ),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    return {
        argument.arg
        for argument, default in pairs
        if isinstance(default, ast.Constant) and default.value is None
    }


def _fallback(node: ast.AST) -> tuple[str, str]:
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
        return last_name(node.values[0]), _built(node.values[-1])
    if isinstance(node, ast.IfExp) and isinstance(node.test, ast.Compare):
        return last_name(node.test.left), _built(node.body) or _built(node.orelse)
    return "", ""


def _built(node: ast.expr) -> str:
    """The class that an expression instantiates: a call of a capitalised name."""
    name = last_name(node.func) if isinstance(node, ast.Call) else ""
    return name if name[:1].isupper() else ""


def global_chance(source: Source) -> Iterator[str]:
    """Calls of the shared generator; passing ``random.random`` as a default is injection."""
    aliases = {
        item.asname or item.name
        for node in source.nodes
        if isinstance(node, ast.Import)
        for item in node.names
        if item.name == "random"
    }
    for node in source.nodes:
        if isinstance(node, ast.Call):
            head, _, name = dotted(node.func).rpartition(".")
            if head in aliases and name[:1].islower():
                yield source.at(node, f"calls {head}.{name}: take a random.Random")


def emoji(source: Source) -> Iterator[str]:
    for number, line in enumerate(source.text.splitlines(), start=1):
        if EMOJI.search(line):
            yield f"{source.path}:{number} holds an emoji"


def port_methods(sources: Iterable[Source]) -> set[str]:
    """Names of methods that a Protocol or an abstract class of the project declares."""
    return {
        function.node.name
        for source in sources
        for function in source.functions
        if function.owner is not None and _is_port(function.owner)
    }


def _is_port(owner: ast.ClassDef) -> bool:
    return bool({"Protocol", "ABC"} & {last_name(base) for base in owner.bases})


def idle_coroutines(source: Source, ports: set[str]) -> Iterator[str]:
    """``async def`` that awaits nothing and that no port or framework asks to be async."""
    handed = _handed_over(source)
    for function in source.functions:
        if isinstance(function.node, ast.AsyncFunctionDef) and not _may_idle(
            function, ports | handed
        ):
            waits = (ast.Await, ast.AsyncFor, ast.AsyncWith, ast.Yield, ast.YieldFrom)
            nodes = list(_own_nodes(function.node))
            comprehensions = (node for node in nodes if isinstance(node, ast.comprehension))
            if not any(isinstance(node, waits) for node in nodes) and not any(
                each.is_async for each in comprehensions
            ):
                yield source.at(function.node, f"{function.name} is async and awaits nothing")


def _handed_over(source: Source) -> set[str]:
    """Names of functions that are passed on, to a framework for instance, and not only called."""
    called = {id(node.func) for node in source.nodes if isinstance(node, ast.Call)}
    return {
        last_name(node)
        for node in source.nodes
        if isinstance(node, ast.Name | ast.Attribute)
        and isinstance(node.ctx, ast.Load)
        and id(node) not in called
    }


def _may_idle(function: Located, ports: set[str]) -> bool:
    name = function.node.name
    dunder = name.startswith("__") and name.endswith("__")
    inherits = function.owner is not None and bool(function.owner.bases)
    asked = name in ports or function.name in SPECIFIED_COROUTINES
    return dunder or inherits or asked or bool(function.node.decorator_list)


def copied_models(sources: Iterable[Source]) -> list[str]:
    """Classes that declare the same four or more fields: one model, copied."""
    owners: defaultdict[frozenset[str], list[str]] = defaultdict(list)
    for source in sources:
        for node in source.nodes:
            if isinstance(node, ast.ClassDef):
                fields = frozenset(
                    item.target.id
                    for item in node.body
                    if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
                )
                if len(fields) >= 4:
                    owners[fields].append(f"{source.module}:{node.name}")
    return [
        f"{' and '.join(names)} declare the same fields {sorted(fields)}"
        for fields, names in owners.items()
        if len(names) > 1
    ]
