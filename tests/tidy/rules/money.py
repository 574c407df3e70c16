"""Amounts are integers, and a price is known or absent, never assumed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.tidy.tree import functions, modules

INTEGERS_ONLY = ("domain/ledger/", "domain/payments/", "domain/pricing/", "kernel/money.py")
PRICE = re.compile(r"(^|_)prices?(_|$)", re.IGNORECASE)
PRICE_OR_RATE = re.compile(r"(^|_)(prices?|rates?)(_(?!limit|budget)|$)", re.IGNORECASE)
BOUND = re.compile(
    r"^(max|min)_", re.IGNORECASE
)  # a limit on what is searched or accepted is no price
RATES_MATTER = ("domain/pricing/", "domain/catalog/", "adapters/prices/")
NUMBER_MAKERS = {"Decimal", "Fraction", "Money", "int", "float"}


def no_float_near_money(root: Path) -> list[str]:
    """Find float literals, the name `float` and true division where money is counted."""
    found = []
    for module in modules(root, *INTEGERS_ONLY):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
                found.append(module.at(node, f"float {node.value} near money"))
            elif isinstance(node, ast.Name) and node.id == "float":
                found.append(module.at(node, "`float` near money"))
            elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
                found.append(
                    module.at(node, "true division near money; use divmod and name the rounding")
                )
    return found


def no_default_price(root: Path) -> list[str]:
    """Find prices (and exchange rates, where they are read) that get a number without anyone having said it."""
    found = []
    for module in modules(root):
        pattern = PRICE_OR_RATE if module.place.startswith(RATES_MATTER) else PRICE
        for name, value in _given(module.tree):
            if pattern.search(name) and not BOUND.search(name) and _is_number(value):
                found.append(
                    module.at(value, f"`{name}` has a default; a missing price is an error")
                )
    return found


def _given(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Yield (name, value) for defaults, assignments, `x.get("name", value)` and `name or value`."""
    for function in functions(tree):
        yield from _defaults(function.args)
    for node in ast.walk(tree):
        if isinstance(node, ast.Lambda):
            yield from _defaults(node.args)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            yield _last_name(node.target), node.value
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                yield _last_name(target), node.value
        elif isinstance(node, ast.Call) and len(node.args) == 2:
            key = node.args[0]
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value, node.args[1]
        elif isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
            for value in node.values[1:]:
                yield _last_name(node.values[0]), value


def _defaults(arguments: ast.arguments) -> Iterator[tuple[str, ast.expr]]:
    positional = arguments.posonlyargs + arguments.args
    for argument, value in zip(reversed(positional), reversed(arguments.defaults), strict=False):
        yield argument.arg, value
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if default is not None:
            yield argument.arg, default


def _last_name(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    return ""


def _is_number(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp):
        return _is_number(node.operand)
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float) and not isinstance(node.value, bool)
    if isinstance(node, ast.Call) and _last_name(node.func) in NUMBER_MAKERS and node.args:
        return isinstance(node.args[0], ast.Constant) or _is_number(node.args[0])
    return False
