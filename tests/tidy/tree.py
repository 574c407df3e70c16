"""Reads a source tree for the house rules: parsed modules, and what each name in them stands for."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path("src/decent_cloud")


@dataclass(frozen=True, slots=True)
class Module:
    """One parsed file; `place` is its path inside the package (`kernel/clock.py`)."""

    path: Path
    place: str
    tree: ast.Module

    def at(self, node: ast.AST, message: str) -> str:
        """Write a finding that an editor can jump to."""
        return f"{PACKAGE / self.place}:{getattr(node, 'lineno', 1)}: {message}"


def modules(root: Path, *under: str) -> Iterator[Module]:
    """Parse the package's files, or those whose place starts with one of `under`, in order of path."""
    package = root / PACKAGE
    for path in sorted(package.rglob("*.py")):
        place = path.relative_to(package).as_posix()
        if not under or place.startswith(under):
            yield Module(path, place, parsed(path.read_text(), str(path)))


@functools.cache  # a dozen rules read the same files
def parsed(text: str, filename: str) -> ast.Module:
    """Parse a file's text; nobody changes the tree."""
    return ast.parse(text, filename=filename)


def imported_names(tree: ast.Module) -> dict[str, str]:
    """Map each name that an import binds, anywhere in the module, to the dotted name it stands for."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                bound = alias.asname or alias.name.partition(".")[0]
                names[bound] = alias.name if alias.asname else bound
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def dotted(node: ast.AST, names: dict[str, str]) -> str:
    """Spell a name or attribute chain with its imports resolved; empty for anything else."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        start = dotted(node.value, names)
        return f"{start}.{node.attr}" if start else ""
    return ""


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Find every function and method, nested ones too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
