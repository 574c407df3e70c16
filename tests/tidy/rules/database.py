"""A unit of work never catches the database's errors: one place retries and translates them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.tidy.tree import dotted, imported_names, modules

HOME = "adapters/sql/engine.py"
ANY_LIBRARY = {"IntegrityError", "DBAPIError"}
LIBRARIES = ("sqlalchemy", "psycopg")


def database_errors_are_caught_in_one_place(root: Path) -> list[str]:
    """Find handlers of database errors; on PostgreSQL a caught error leaves a transaction that can do nothing more."""
    found = []
    for module in modules(root):
        if module.place == HOME:
            continue
        names = imported_names(module.tree)
        for node in _caught(module.tree, names):
            name = dotted(node, names)
            # The agent's journal is a SQLite file with one user, and no unit of work.
            if name.startswith("sqlite3.") and module.place.startswith("agent/"):
                continue
            if name.rpartition(".")[2] in ANY_LIBRARY or name.startswith(LIBRARIES):
                found.append(
                    module.at(node, f"catches {name}; use ON CONFLICT, or raise to {HOME}")
                )
    return found


def _caught(tree: ast.Module, names: dict[str, str]) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and node.type is not None:
            yield from node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        elif isinstance(node, ast.Call) and dotted(node.func, names) == "contextlib.suppress":
            yield from node.args
