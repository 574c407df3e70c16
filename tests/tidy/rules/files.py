"""A file says what it owns, by its name and by its first sentence."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.tidy.tree import parsed

OWNERLESS = {"base", "common", "helper", "helpers", "manager", "misc", "util", "utils"}
CODE = ("src", "bench", "demo", "devtools", "migrations", "tests", "tools")
MUST_SAY = ("src", "bench", "demo", "devtools")

# Patterns, not addresses: this file must pass its own rule.
ELSEWHERE = re.compile(
    r"/home/(?!tenant\b|dc\b|user\b)[a-z]|/Users/[a-z]|/work/(main|shared|brief)|/opt/(pypi|wheels)"
    r"|\bpypi\.org|\bpythonhosted\.org|\bregistry\.npmjs\.org|\bdeb\.debian\.org|\bproxy\.golang\.org"
)


def every_module_says_what_it_owns(root: Path) -> list[str]:
    """Find modules with code and no first sentence."""
    found = []
    for path in _python_files(root, MUST_SAY):
        tree = parsed(path.read_text(), str(path))
        if tree.body and not (ast.get_docstring(tree) or "").strip():
            found.append(
                f"{path.relative_to(root)}:1: starts without a sentence saying what it owns"
            )
    return found


def names_own_something(root: Path) -> list[str]:
    """Find files and folders named after nothing in particular."""
    return sorted(
        {
            f"{path.relative_to(root)}: `{part}` owns nothing; name it after what it does"
            for path in _python_files(root, CODE)
            for part in path.relative_to(root).with_suffix("").parts
            if part.removeprefix("test_") in OWNERLESS
        }
    )


def nothing_names_a_place_elsewhere(root: Path) -> list[str]:
    """Find home folders and package registries in tracked files: they differ from machine to machine."""
    found = []
    for path in _tracked(root):
        try:
            lines = path.read_text().splitlines()
        except (UnicodeDecodeError, FileNotFoundError):
            continue
        for number, line in enumerate(lines, 1):
            match = ELSEWHERE.search(line)
            if match:
                found.append(
                    f"{path.relative_to(root)}:{number}: names a place elsewhere: {match[0]}"
                )
    return found


def _python_files(root: Path, folders: tuple[str, ...]) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((root / folder).rglob("*.py"))


def _tracked(root: Path) -> list[Path]:
    if not (root / ".git").exists():
        return [path for path in sorted(root.rglob("*")) if path.is_file()]
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True)
    return [root / name for name in listed.stdout.decode().split("\0") if name]
