"""A test proves something, about the real thing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.tidy.tree import dotted, functions, imported_names, parsed

PROVES = re.compile(r"assert|raises|check|expect")
ENVIRONMENT = {"setenv", "delenv", "chdir", "syspath_prepend"}


def every_test_asserts_something(root: Path) -> list[str]:
    """Find tests that pass whatever the code does."""
    trees = dict(_tests(root))
    provers = _provers(trees)
    return [
        f"{path.relative_to(root)}:{function.lineno}: `{function.name}` asserts nothing"
        for path, tree in trees.items()
        for function in functions(tree)
        if function.name.startswith("test_") and not _proves(function, provers)
    ]


def tests_replace_nothing_inside(root: Path) -> list[str]:
    """Find patches: where a test wants another part, a port is missing. The environment may be set."""
    found = []
    for path, tree in _tests(root):
        names = imported_names(tree)
        for node in ast.walk(tree):
            what = _patch(node, names)
            if what:
                place = f"{path.relative_to(root)}:{getattr(node, 'lineno', 1)}"
                found.append(f"{place}: {what} patches; pass another implementation of the port")
    return found


def _tests(root: Path) -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted((root / "tests").rglob("*.py")):
        yield path, parsed(path.read_text(), str(path))


def _provers(trees: dict[Path, ast.Module]) -> frozenset[str]:
    """Collect the names of functions that assert something for the tests that call them."""
    shared = [
        (f.name, _says_so(f), _called(f))
        for tree in trees.values()
        for f in functions(tree)
        if not f.name.startswith("test_")
    ]
    names: frozenset[str] = frozenset()
    while True:
        more = names | {name for name, says_so, called in shared if says_so or called & names}
        if more == names:
            return names
        names = more


def _proves(function: ast.FunctionDef | ast.AsyncFunctionDef, provers: frozenset[str]) -> bool:
    return _says_so(function) or bool(_called(function) & provers)


def _says_so(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(PROVES.search(ast.unparse(statement)) for statement in _body(function))


def _called(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    return {
        node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for statement in _body(function)
        for node in ast.walk(statement)
        if isinstance(node, ast.Call)
    }


def _body(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.stmt]:
    """Return the statements but the docstring: words prove nothing."""
    return [
        statement
        for statement in function.body
        if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
    ]


def _patch(node: ast.AST, names: dict[str, str]) -> str:
    if isinstance(node, ast.Import):
        return "unittest.mock" if any(a.name == "unittest.mock" for a in node.names) else ""
    if isinstance(node, ast.ImportFrom):
        imported = {f"{node.module}.{alias.name}" for alias in node.names}
        return "unittest.mock" if any(n.startswith("unittest.mock") for n in imported) else ""
    if isinstance(node, ast.Attribute) and dotted(node.value, names) == "monkeypatch":
        return "" if node.attr in ENVIRONMENT else f"monkeypatch.{node.attr}"
    return ""
