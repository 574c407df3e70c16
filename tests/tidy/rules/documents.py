"""What a person can meet is written down: error codes, settings, commands, decisions."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from tests.tidy.tree import PACKAGE, modules

ROOT_ERROR = "DecentError"


@dataclass(frozen=True, slots=True)
class ErrorClass:
    """What the source says about one error: its own code, or none when it shares its parent's."""

    name: str
    bases: tuple[str, ...]
    code: str
    kind: str
    message: str
    where: str


def every_error_code_is_documented(root: Path) -> list[str]:
    """Compare error codes with the rows of docs/errors.md, and find a code with two meanings."""
    errors = _errors(root)
    document = root / "docs/errors.md"
    rows = _rows(document.read_text() if document.exists() else "")
    found = []
    seen: dict[str, ErrorClass] = {}
    for error in errors.values():
        if not error.code:
            continue
        if error.code in seen:
            found.append(f"{error.where}: code `{error.code}` is taken by {seen[error.code].where}")
        seen.setdefault(error.code, error)
        if error.code not in rows:
            row = f"| `{error.code}` | {_kind(error, errors)} | {error.message} |"
            found.append(f"docs/errors.md misses the row: {row}")
    if errors:
        found += [
            f"docs/errors.md: `{row}` is no error's code" for row in sorted(rows - seen.keys())
        ]
    return found


def every_setting_is_documented(root: Path) -> list[str]:
    """Compare the fields of each ...Settings class with its section of docs/settings.md.

    A section is headed by a line that gives the class in code marks, such as "## Docker (`DockerSettings`)".
    """
    document = root / "docs/settings.md"
    sections = _sections(document.read_text() if document.exists() else "")
    found = []
    for module in modules(root):
        for node in module.tree.body:
            if isinstance(node, ast.ClassDef) and node.name.endswith("Settings"):
                place = f"docs/settings.md, section `{node.name}`"
                fields = _fields(node)
                rows = _rows(sections.get(node.name, ""))
                found += [
                    f"{place} misses the row: | `{name}` | {default} | |"
                    for name, default in fields.items()
                    if name not in rows
                ]
                found += [f"{place}: `{row}` is no field" for row in sorted(rows - fields.keys())]
    return found


def undocumented_commands(program: str, command: click.Command, document: str) -> list[str]:
    """Find leaf commands whose full name (`decent offering list`) the document never gives in code marks."""
    return [
        f"docs/cli.md misses `{name}`: {found.get_short_help_str()}"
        for name, found in _leaves(program, command)
        if not re.search(rf"`{re.escape(name)}(?=[`\s])", document)
    ]


def every_decision_is_indexed(root: Path) -> list[str]:
    """Compare docs/decisions/*.md with its index, and find two records with one number."""
    folder = root / "docs/decisions"
    index = (folder / "README.md").read_text()
    records = sorted(path.name for path in folder.glob("[0-9]*.md"))
    linked = set(re.findall(r"\]\((\d{4}-[^)]+\.md)\)", index))
    numbers = [name[:4] for name in records]
    return [
        *(
            f"docs/decisions/README.md does not list {name}"
            for name in records
            if name not in linked
        ),
        *(
            f"docs/decisions/README.md lists {name}, which is not there"
            for name in linked - set(records)
        ),
        *(
            f"docs/decisions: two records have number {n}"
            for n in sorted({n for n in numbers if numbers.count(n) > 1})
        ),
    ]


def _rows(text: str) -> set[str]:
    """Read the first cell of every table row that is one code word."""
    return set(re.findall(r"^\|\s*`([^`]+)`\s*\|", text, flags=re.MULTILINE))


def _sections(text: str) -> dict[str, str]:
    """Split a document by its headings, under the code word that each one gives."""
    parts = re.split(r"^#+ .*?`(\w+)`.*$|^#+ .*$", text, flags=re.MULTILINE)
    return {name: body for name, body in zip(parts[1::2], parts[2::2], strict=True) if name}


def _fields(settings: ast.ClassDef) -> dict[str, str]:
    return {
        field.target.id: f"`{ast.unparse(field.value)}`" if field.value else "required"
        for field in settings.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    }


def _leaves(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield name, command
        return
    context = click.Context(command, info_name=name)
    for part in command.list_commands(context):
        child = command.get_command(context, part)
        if child is not None and not child.hidden:
            yield from _leaves(f"{name} {part}", child)


def _errors(root: Path) -> dict[str, ErrorClass]:
    """Collect the classes that descend from the root error, by name, parents first."""
    classes = [found for module in modules(root) for found in _classes(module.tree, module.place)]
    errors: dict[str, ErrorClass] = {}
    while True:
        more = {
            found.where: found
            for found in classes
            if found.where not in errors
            and (found.name == ROOT_ERROR or {e.name for e in errors.values()} & set(found.bases))
        }
        if not more:
            return errors
        errors |= more


def _classes(tree: ast.Module, place: str) -> Iterator[ErrorClass]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            values = {name: value for part in node.body for name, value in _class_value(part)}
            yield ErrorClass(
                name=node.name,
                bases=tuple(ast.unparse(base).rpartition(".")[2] for base in node.bases),
                code=values.get("code", ""),
                kind=values.get("kind", ""),
                message=(ast.get_docstring(node) or "").split("\n", 1)[0],
                where=f"{PACKAGE / place}:{node.lineno} {node.name}",
            )


def _class_value(part: ast.stmt) -> Iterator[tuple[str, str]]:
    if isinstance(part, ast.Assign) and isinstance(part.targets[0], ast.Name):
        name, value = part.targets[0].id, part.value
    elif isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name) and part.value:
        name, value = part.target.id, part.value
    else:
        return
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield name, value.value
    elif isinstance(value, ast.Attribute):
        yield name, value.attr.lower()


def _kind(error: ErrorClass, errors: dict[str, ErrorClass]) -> str:
    while not error.kind:
        error = next(e for e in errors.values() if e.name in error.bases)
    return error.kind
