"""The schema: made by migrations, the same as the metadata says, asserted at every start."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from decent_cloud.adapters.sql.engine import connect, migrate
from decent_cloud.adapters.sql.errors import WrongSchema
from decent_cloud.adapters.sql.guards import TRIGGERS
from decent_cloud.adapters.sql.schema import MIGRATIONS, alembic_config, assert_schema, opened
from decent_cloud.adapters.sql.session import Dialect
from decent_cloud.adapters.sql.tables import metadata
from decent_cloud.kernel.errors import Invalid, TryLater
from tests.contracts.conftest import MASTER_KEY

Run = Callable[[str], object]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the address of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/decent.db"
    return str(request.getfixturevalue("postgres_database")())


def run(url: str, statement: str) -> None:
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
            connection.execute(statement)
    else:
        with psycopg.connect(url) as server:
            server.execute(statement.encode())


def test_migrations_make_what_the_metadata_says(url: str) -> None:
    migrate(url)
    with opened(url) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


@pytest.mark.parametrize(
    "dialect",
    [Dialect.SQLITE, pytest.param(Dialect.POSTGRESQL, marks=pytest.mark.postgres)],
)
def test_the_checks_of_migrations_are_those_of_the_metadata(
    dialect: Dialect, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if dialect is Dialect.SQLITE:
        migrated, created = (f"sqlite:///{tmp_path}/{name}.db" for name in ("one", "two"))
    else:
        make = request.getfixturevalue("postgres_database")
        migrated, created = make(), make()
    migrate(migrated)
    with opened(created) as connection:
        metadata.create_all(connection)
    assert _checks(migrated, dialect) == _checks(created, dialect)
    assert len(_checks(created, dialect)) > 20


def _checks(url: str, dialect: Dialect) -> set[str]:
    if dialect is Dialect.SQLITE:
        question = (
            "SELECT sql FROM sqlite_master WHERE type = 'table' AND name <> 'alembic_version'"
        )
    else:
        question = (
            "SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)"
            " FROM pg_constraint WHERE conrelid <> 0 AND conname !~ '^alembic'"
        )
    with opened(url) as connection:
        found = [" ".join(str(row[0]).split()) for row in connection.exec_driver_sql(question)]
    return set(found) if dialect is Dialect.POSTGRESQL else set(_parts(found))


def _parts(tables: list[str]) -> Iterator[str]:
    """Yield each column and each rule of SQLite's tables by itself.

    A column that was added later has a default and stands last, with its rule beside it.
    """
    for table in tables:
        name, _, body = table.partition(" (")
        depth, start = 0, 0
        for at, char in enumerate(body):
            depth += (char == "(") - (char == ")")
            if (char == "," and depth == 0) or depth < 0:
                column, rule, check = body[start:at].strip().partition("CONSTRAINT ")
                plain = re.sub(r" DEFAULT '\w*'", "", column).strip()
                yield from (f"{name}: {part}" for part in (plain, rule + check) if part)
                start = at + 1


def test_a_second_migration_changes_nothing(url: str) -> None:
    migrate(url)
    migrate(url)
    assert_schema(url)


@pytest.mark.slow
def test_processes_that_start_together_migrate_once(url: str) -> None:
    code = "import sys; from decent_cloud.adapters.sql.engine import migrate; migrate(sys.argv[1])"
    processes = [subprocess.Popen([sys.executable, "-c", code, url]) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert_schema(url)


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/decent.db"
    migrate(url)
    database = connect(url, MASTER_KEY)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("decent.db*")} == {0o600}
    asyncio.run(database.close())


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "decent.db"
    path.write_bytes(b"not a database" * 1_000)
    for refused in (migrate, assert_schema):
        with pytest.raises(WrongSchema, match="damaged"):
            refused(f"sqlite:///{path}")
    assert path.read_bytes() == b"not a database" * 1_000


def test_a_file_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    with pytest.raises(TryLater, match="No such file"):
        migrate(f"sqlite:///{tmp_path}/absent/decent.db")


def test_an_empty_database_is_refused(url: str) -> None:
    with pytest.raises(WrongSchema, match="empty"):
        connect(url, MASTER_KEY)


def test_a_database_of_another_time_is_refused(url: str) -> None:
    migrate(url)
    run(url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(WrongSchema, match="9999"):
        connect(url, MASTER_KEY)


def test_a_lost_trigger_is_named(url: str) -> None:
    migrate(url)
    dialect = Dialect.SQLITE if url.startswith("sqlite") else Dialect.POSTGRESQL
    for name in TRIGGERS[dialect]:
        run(
            url, f"DROP TRIGGER {name}" + (" ON transfers" if dialect is Dialect.POSTGRESQL else "")
        )
        with pytest.raises(WrongSchema, match=name):
            assert_schema(url)


@pytest.mark.postgres
def test_a_trigger_that_is_switched_off_and_a_lost_check_are_named(
    postgres_database: Callable[..., str],
) -> None:
    url = postgres_database("migrated", migrate)
    run(url, "ALTER TABLE transfers DISABLE TRIGGER transfers_no_change")
    run(url, "ALTER TABLE balances DROP CONSTRAINT ck_balances_floor")
    with pytest.raises(WrongSchema, match=r"transfers_no_change.*ck_balances_floor"):
        assert_schema(url)


def test_a_table_built_anew_without_its_check_is_named(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/decent.db"
    migrate(url)
    run(url, "DROP TABLE balances")
    run(url, "CREATE TABLE balances (account TEXT, asset TEXT, ck_balances_floor TEXT)")
    with pytest.raises(WrongSchema, match="ck_balances_floor"):
        assert_schema(url)


def test_a_failed_step_leaves_no_trace(url: str, tmp_path: Path) -> None:
    migrate(url)
    run(url, "DELETE FROM alembic_version")
    with pytest.raises(Exception, match="already exists"):
        migrate(url)
    with pytest.raises(WrongSchema, match="None"):
        assert_schema(url)


def test_a_new_step_can_be_started(tmp_path: Path) -> None:
    config = alembic_config(f"sqlite:///{tmp_path}/decent.db")
    config.set_main_option("version_locations", f"{MIGRATIONS}/versions:{tmp_path}")
    config.set_main_option("path_separator", "os")
    config.set_main_option("file_template", "m%%(rev)s_%%(slug)s")
    command.revision(config, "add payouts", rev_id="9001", version_path=str(tmp_path))
    written = (tmp_path / "m9001_add_payouts.py").read_text()
    assert written.startswith('"""add payouts."""')
    newest = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    assert f"down_revision = '{newest}'" in written


def test_a_key_of_the_wrong_length_and_an_absent_server_are_said(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="32 bytes"):
        connect(f"sqlite:///{tmp_path}/decent.db", b"short")
    with pytest.raises(TryLater, match="cannot be reached"):
        connect("postgresql://nobody@127.0.0.1:1/none", MASTER_KEY)
