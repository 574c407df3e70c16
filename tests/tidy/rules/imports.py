"""Imports stand at the top of a file, where the direction contracts and a reader see them."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.tidy.tree import dotted, functions, imported_names, modules

# Loading late is these files' whole purpose: commands and drivers come in when they are asked for.
LOADERS = {"cli/lazy.py", "drivers/registry.py", "programs/cli.py"}
IMPORTERS = {"importlib.import_module", "__import__"}


def imports_stand_at_the_top(root: Path) -> list[str]:
    """Find imports inside functions, and imports by name, outside the loaders."""
    found: set[str] = set()
    for module in modules(root):
        if module.place in LOADERS:
            continue
        names = imported_names(module.tree)
        for function in functions(module.tree):
            found.update(
                module.at(node, f"import inside `{function.name}`")
                for node in ast.walk(function)
                if isinstance(node, ast.Import | ast.ImportFrom)
            )
        found.update(
            module.at(node, "import by name")
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Call) and dotted(node.func, names) in IMPORTERS
        )
    return sorted(found)
