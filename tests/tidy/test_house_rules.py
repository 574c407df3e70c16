"""The house rules hold here. What each one refuses is in test_house_rules_bite.py."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tidy.rules import clock, database, documents, drivers, files, imports, money, proofs
from tests.tidy.tree import PACKAGE

ROOT = Path(__file__).parents[2]

RULES: list[Callable[[Path], list[str]]] = [
    clock.the_clock_is_read_in_one_place,
    database.database_errors_are_caught_in_one_place,
    documents.every_decision_is_indexed,
    documents.every_error_code_is_documented,
    documents.every_setting_is_documented,
    drivers.every_driver_has_an_entry_point,
    drivers.every_driver_is_kept_apart,
    files.every_module_says_what_it_owns,
    files.names_own_something,
    files.nothing_names_a_place_elsewhere,
    imports.imports_stand_at_the_top,
    money.no_default_price,
    money.no_float_near_money,
    proofs.every_test_asserts_something,
    proofs.tests_replace_nothing_inside,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_rule_holds(rule: Callable[[Path], list[str]]) -> None:
    found = rule(ROOT)
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("program", "module", "command"),
    [
        ("decent", "decent_cloud.programs.cli", "cli"),
        ("dc-agent", "decent_cloud.programs.agent", "cli"),
    ],
)
def test_every_command_is_documented(program: str, module: str, command: str) -> None:
    place = ROOT / PACKAGE / "programs" / f"{module.rpartition('.')[2]}.py"
    if not place.exists():
        pytest.skip(f"{program} is not written yet")
    group = getattr(importlib.import_module(module), command)
    document = ROOT / "docs/cli.md"
    found = documents.undocumented_commands(
        program, group, document.read_text() if document.exists() else ""
    )
    assert not found, "\n" + "\n".join(found)
