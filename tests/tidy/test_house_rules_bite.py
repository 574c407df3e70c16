"""Each house rule refuses what it is there for and lets its neighbour pass, on a tree made for the purpose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import pytest

from tests.tidy.rules import clock, database, documents, drivers, files, imports, money, proofs
from tests.tidy.test_house_rules import RULES

SRC = "src/decent_cloud/"
ERRORS = '''
class DecentError(Exception):
    """Something failed."""
    code = "error"
    kind = Kind.INTERNAL
class TooLate(DecentError):
    """It is too late."""
    code = "too_late"
'''
INDEX = "[Direction](0001-direction.md)"

Rule = Callable[[Path], list[str]]

# (rule, the place of the slip, its text, a word of the finding)
REFUSED: list[tuple[Rule, str, str, str]] = [
    (clock.the_clock_is_read_in_one_place, SRC + "app/x.py", "import time as t\nt.time()", "time.time"),
    (clock.the_clock_is_read_in_one_place, SRC + "app/x.py", "from time import time_ns as f\nf()", "time_ns"),
    (clock.the_clock_is_read_in_one_place, SRC + "jobs/x.py", "from datetime import datetime as d\nd.now()", "now"),
    (clock.the_clock_is_read_in_one_place, SRC + "jobs/x.py", "import datetime\ndatetime.datetime.utcnow()", "utcnow"),
    (clock.the_clock_is_read_in_one_place, SRC + "jobs/x.py", "import datetime\ndatetime.date.today()", "today"),
    (clock.the_clock_is_read_in_one_place, SRC + "jobs/x.py", "import time\nclock = time.time", "time.time"),
    (clock.the_clock_is_read_in_one_place, SRC + "jobs/x.py", "import time\ntime.gmtime()", "gmtime"),
    (clock.the_clock_is_read_in_one_place, SRC + "adapters/sql/x.py", "q = 'SET at = now()'", "SQL"),
    (database.database_errors_are_caught_in_one_place, SRC + "adapters/sql/x.py",
     "from sqlalchemy.exc import IntegrityError as E\ntry: pass\nexcept (KeyError, E): pass", "IntegrityError"),
    (database.database_errors_are_caught_in_one_place, SRC + "jobs/x.py",
     "import sqlalchemy as sa\ntry: pass\nexcept sa.exc.DBAPIError: pass", "DBAPIError"),
    (database.database_errors_are_caught_in_one_place, SRC + "http/x.py",
     "from contextlib import suppress\nfrom psycopg import Error\nwith suppress(Error): pass", "psycopg.Error"),
    (documents.every_decision_is_indexed, "docs/decisions/0002-more.md", "# More", "0002-more.md"),
    (documents.every_decision_is_indexed, "docs/decisions/README.md", INDEX + "[x](0009-x.md)", "0009-x.md"),
    (documents.every_decision_is_indexed, "docs/decisions/0001-again.md", "# Again", "number 0001"),
    (documents.every_error_code_is_documented, SRC + "kernel/errors.py", ERRORS,
     "| `too_late` | internal | It is too late. |"),
    (documents.every_error_code_is_documented, SRC + "app/x.py",
     "class A(DecentError):\n    code = 'error'", "code `error` is taken"),
    (documents.every_error_code_is_documented, "docs/errors.md", "| `error` | | |\n| `gone` | | |", "`gone`"),
    (documents.every_setting_is_documented, SRC + "programs/x.py",
     "class XSettings:\n    port: int = 80", "section `XSettings` misses the row: | `port` | `80` | |"),
    (documents.every_setting_is_documented, SRC + "programs/x.py",
     "class XSettings:\n    listen: str", "section `XSettings` misses the row: | `listen` | required | |"),
    (documents.every_setting_is_documented, SRC + "programs/x.py", "class YSettings: ...", "`listen` is no field"),
    (drivers.every_driver_has_an_entry_point, SRC + "drivers/cloud/driver.py", "", "drivers/cloud"),
    (drivers.every_driver_is_kept_apart, SRC + "drivers/cloud/driver.py", "", "drivers/cloud"),
    (files.every_module_says_what_it_owns, SRC + "app/x.py", "x = 1", "app/x.py"),
    (files.names_own_something, SRC + "app/utils.py", "", "`utils`"),
    (files.names_own_something, "tests/app/test_misc.py", "", "`test_misc`"),
    (files.names_own_something, SRC + "common/x.py", "", "`common`"),
    (files.nothing_names_a_place_elsewhere, "docs/x.md", "see /ho" + "me/someone/x", "docs/x.md:1"),
    (files.nothing_names_a_place_elsewhere, "requirements/x.txt", "--index-url https://py" + "pi.org/simple", "x.txt:1"),
    (imports.imports_stand_at_the_top, SRC + "app/x.py", "def f():\n    import json", "inside `f`"),
    (imports.imports_stand_at_the_top, SRC + "app/x.py", "class A:\n  async def f(self):\n    from a import b", "`f`"),
    (imports.imports_stand_at_the_top, SRC + "app/x.py", "import importlib as i\ni.import_module('a')", "by name"),
    (money.no_default_price, SRC + "domain/catalog/x.py", "def f(price_minor=5): ...", "price_minor"),
    (money.no_default_price, SRC + "domain/catalog/x.py", "def f(*, a=1, price_minor=-5): ...", "price_minor"),
    (money.no_default_price, SRC + "wire/v1/x.py", "class A:\n    price_minor_per_hour: int = 0", "price_minor_per_hour"),
    (money.no_default_price, SRC + "adapters/prices/x.py", "rate = d.get('rate', Decimal('1.0'))", "rate"),
    (money.no_default_price, SRC + "domain/pricing/x.py", "a = quote.price or 100", "price"),
    (money.no_default_price, SRC + "domain/pricing/x.py", "f = lambda rate=2: rate", "rate"),
    (money.no_default_price, SRC + "app/x.py", "DEFAULT_PRICE = Money(500, usd)", "DEFAULT_PRICE"),
    (money.no_float_near_money, SRC + "domain/ledger/x.py", "a = 0.5", "float 0.5"),
    (money.no_float_near_money, SRC + "domain/payments/x.py", "def f(a: float): ...", "`float`"),
    (money.no_float_near_money, SRC + "domain/pricing/x.py", "a = b / c", "division"),
    (money.no_float_near_money, SRC + "kernel/money.py", "a /= c", "division"),
    (proofs.every_test_asserts_something, "tests/x.py", "def test_assert_it():\n  'assert'\n  f()", "test_assert_it"),
    (proofs.tests_replace_nothing_inside, "tests/x.py", "from unittest import mock", "unittest.mock"),
    (proofs.tests_replace_nothing_inside, "tests/x.py", "import unittest.mock as m", "unittest.mock"),
    (proofs.tests_replace_nothing_inside, "tests/x.py", "monkeypatch.setattr(a, 'b', c)", "monkeypatch.setattr"),
]  # fmt: skip

# Neighbours of the slips above that are right as they are.
ALLOWED: list[tuple[Rule, str, str]] = [
    (clock.the_clock_is_read_in_one_place, SRC + "kernel/clock.py", "import time\ntime.time_ns()"),
    (clock.the_clock_is_read_in_one_place, SRC + "jobs/x.py", "import time\ntime.monotonic()\ntime.gmtime(5)"),
    (clock.the_clock_is_read_in_one_place, SRC + "jobs/x.py", "def now(): ...\nx.time()\nx.now()"),
    (database.database_errors_are_caught_in_one_place, SRC + "adapters/sql/engine.py",
     "from sqlalchemy.exc import DBAPIError\ntry: pass\nexcept DBAPIError: pass"),
    (database.database_errors_are_caught_in_one_place, SRC + "agent/journal.py",
     "import sqlite3\ntry: pass\nexcept sqlite3.IntegrityError: pass"),
    (documents.every_error_code_is_documented, SRC + "app/x.py",
     "class A(DecentError):\n    'Shares its code.'\nclass B:\n    code = 'other'"),
    (documents.every_setting_is_documented, SRC + "programs/x.py", "class YSettings:\n    listen: str"),
    (drivers.every_driver_is_kept_apart, SRC + "drivers/fake/driver.py", ""),
    (files.every_module_says_what_it_owns, SRC + "app/__init__.py", ""),
    (files.names_own_something, SRC + "app/based.py", ""),
    (files.nothing_names_a_place_elsewhere, "docs/x.md", "/ho" + "me/tenant and apt-get install docker.io"),
    (imports.imports_stand_at_the_top, SRC + "drivers/registry.py", "def f():\n    import json"),
    (imports.imports_stand_at_the_top, SRC + "app/x.py", "if TYPE_CHECKING:\n    import json"),
    (money.no_default_price, SRC + "domain/pricing/x.py", "price = quote.price\nrate_limit = 5\nprice = None"),
    (money.no_default_price, SRC + "domain/catalog/x.py", "def f(price_minor, hours=1): ..."),
    (money.no_default_price, SRC + "domain/catalog/x.py", "MAX_PRICE_MINOR = 9\nmax_price_minor = 9"),
    (money.no_float_near_money, SRC + "domain/ledger/x.py", "a = b // c\nd = divmod(a, 3)"),
    (money.no_float_near_money, SRC + "domain/contracts/x.py", "a = b / c"),
    (proofs.every_test_asserts_something, "tests/x.py", "def test_x():\n  with raises(E):\n    f()"),
    (
        proofs.every_test_asserts_something,
        "tests/x.py",
        "def refused(x):\n  assert x\ndef told(x):\n  refused(x)\ndef test_x():\n  told(1)",
    ),
    (proofs.tests_replace_nothing_inside, "tests/x.py", "monkeypatch.setenv('A', 'b')\nimport unittest"),
]  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Make a small project in which every rule holds."""
    _write(
        tmp_path, SRC + "kernel/errors.py", '"""Errors."""\n' + ERRORS.partition("class TooLate")[0]
    )
    _write(tmp_path, "docs/errors.md", "| code | |\n| `error` | internal |\n")
    _write(
        tmp_path,
        "docs/settings.md",
        "# Settings\n## Y (`YSettings`)\n| `listen` | where |\n## Notes\n",
    )
    _write(tmp_path, "docs/decisions/README.md", INDEX)
    _write(tmp_path, "docs/decisions/0001-direction.md", "# Direction")
    _write(
        tmp_path, ".importlinter", "[importlinter:contract:drivers-apart]\nlayers =\n    (fake)\n"
    )
    _write(
        tmp_path, "pyproject.toml", '[project.entry-points."decent_cloud.drivers"]\nfake = "a:B"\n'
    )
    return tmp_path


def _write(root: Path, place: str, text: str) -> None:
    path = root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_rule_is_content_with_a_tidy_tree(rule: Rule, tree: Path) -> None:
    assert rule(tree) == []


@pytest.mark.parametrize(("rule", "place", "text", "word"), REFUSED)
def test_a_rule_refuses_the_slip(rule: Rule, place: str, text: str, word: str, tree: Path) -> None:
    _write(tree, place, text)
    assert any(word in finding for finding in rule(tree)), rule(tree)


@pytest.mark.parametrize(("rule", "place", "text"), ALLOWED)
def test_a_rule_lets_the_neighbour_pass(rule: Rule, place: str, text: str, tree: Path) -> None:
    _write(tree, place, text)
    assert rule(tree) == []


def test_every_rule_is_proven_to_refuse_something() -> None:
    assert set(RULES) == {row[0] for row in REFUSED}


def test_an_undocumented_command_is_named() -> None:
    @click.group()
    def decent() -> None: ...

    @decent.group()
    def pool() -> None: ...

    @pool.command(help="Make a pool.")
    def create() -> None: ...

    @pool.command(hidden=True)
    def secret() -> None: ...

    undocumented = documents.undocumented_commands("decent", decent, "see `decent pool`")
    assert undocumented == ["docs/cli.md misses `decent pool create`: Make a pool."]
    assert documents.undocumented_commands("decent", decent, "`decent pool create NAME`") == []
