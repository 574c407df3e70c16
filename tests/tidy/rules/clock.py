"""Only kernel/clock.py reads the wall clock; everyone else is told what time it is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.tidy.tree import Module, dotted, imported_names, modules

HOME = "kernel/clock.py"
READS = {
    "time.time",
    "time.time_ns",
    "time.ctime",
    "time.clock_gettime",
    "time.clock_gettime_ns",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
    "sqlalchemy.func.now",
    "sqlalchemy.func.current_timestamp",
}
READS_WITHOUT_ARGUMENT = {"time.gmtime", "time.localtime"}
IN_SQL = re.compile(
    r"\b(current_timestamp|current_date|now\(\)|clock_timestamp\(\))", re.IGNORECASE
)


def the_clock_is_read_in_one_place(root: Path) -> list[str]:
    """Find reads of the wall clock, in Python and in SQL, outside its one home."""
    return [
        module.at(
            node, f"{what} reads the wall clock; take `now_ms` as an argument ({HOME} owns it)"
        )
        for module in modules(root)
        if module.place != HOME
        for node, what in _reads(module)
    ]


def _reads(module: Module) -> list[tuple[ast.AST, str]]:
    names = imported_names(module.tree)
    found: list[tuple[ast.AST, str]] = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute | ast.Name) and dotted(node, names) in READS:
            found.append((node, dotted(node, names)))
        elif isinstance(node, ast.Call) and not node.args:
            if dotted(node.func, names) in READS_WITHOUT_ARGUMENT:
                found.append((node, dotted(node.func, names)))
        elif module.place.startswith("adapters/sql/") and _is_sql_clock(node):
            found.append((node, "SQL here"))
    return found


def _is_sql_clock(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and bool(IN_SQL.search(node.value))
    )
