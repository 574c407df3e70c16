"""Whether a database has what this program needs: moved there by migrations, asserted at every start."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, Connection, create_engine, event, make_url, text
from sqlalchemy.pool import NullPool

from decent_cloud.adapters.sql.errors import WrongSchema, translated
from decent_cloud.adapters.sql.guards import TRIGGERS
from decent_cloud.adapters.sql.outbox import BASE, EVENTS_A_TRANSACTION
from decent_cloud.adapters.sql.session import Dialect
from decent_cloud.adapters.sql.tables import metadata
from decent_cloud.kernel.errors import Conflict, TryLater

MIGRATIONS = Path(__file__).parent / "migrations"
_CURE = "stop the server and run the migrations, or restore a backup"

_RAISE_BASE = f"""
INSERT INTO platform (name, value)
SELECT 'outbox_base', CAST(max(seq) + {EVENTS_A_TRANSACTION} AS text) FROM outbox
HAVING max(seq) >= {BASE}
  + CAST(CAST(pg_current_xact_id() AS text) AS bigint) * {EVENTS_A_TRANSACTION}
ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""


def migrate(url: str) -> None:
    """Bring a database to the newest schema, each step in a transaction; an empty one is filled.

    Errors: TryLater if it cannot be reached.
    """
    if make_url(url).get_backend_name() == Dialect.SQLITE.value:
        _keep_private(Path(make_url(url).database or ""))
    try:
        _upgrade(url)
    except Conflict:
        # Another process made the same tables a moment before us: what is left to do is seen now.
        _upgrade(url)


def _upgrade(url: str) -> None:
    with opened(url) as connection:
        config = alembic_config(url)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        if connection.dialect.name == Dialect.POSTGRESQL.value:
            connection.execute(text(_RAISE_BASE))


def assert_schema(url: str) -> None:
    """Refuse a database that is not at the newest step or has lost a trigger or a CHECK."""
    with opened(url) as connection:
        missing = list(_missing(connection))
    if missing:
        raise WrongSchema(f"the database is not fit: {'; '.join(missing)}: {_CURE}")


def alembic_config(url: str) -> Config:
    """Return Alembic's configuration; the scripts come with the package."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


@contextmanager
def opened(url: str) -> Iterator[Connection]:
    """Open one transaction on a connection of its own; DDL rolls back with it on both engines."""
    engine = create_engine(url, poolclass=NullPool)
    if make_url(url).get_backend_name() == Dialect.SQLITE.value:
        event.listen(engine, "connect", _leave_transactions_to_us)
        event.listen(
            engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE")
        )
    try:
        with engine.begin() as connection:
            if connection.dialect.name == Dialect.POSTGRESQL.value:
                connection.exec_driver_sql("SET LOCAL lock_timeout = '60s'")
            yield connection
    except Exception as error:
        ours = translated(error)
        if ours is error:
            raise
        raise ours from error
    finally:
        engine.dispose()


def _keep_private(path: Path) -> None:
    # SQLite gives its log and index the rights of the file, which is its owner's alone.
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise TryLater(f"the database file cannot be opened: {error.strerror}") from error


def _leave_transactions_to_us(connection: object, _record: object) -> None:
    # Python's own BEGIN comes too late for DDL.
    setattr(connection, "isolation_level", None)  # noqa: B010 - the event's type is the driver's


def _missing(connection: Connection) -> Iterator[str]:
    dialect = Dialect(connection.dialect.name)
    if not connection.dialect.has_table(connection, "alembic_version"):
        yield "it is empty"
        return
    version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    newest = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    if version != newest:
        yield f"it is at schema {version}, this program needs {newest}"
        return
    triggers, checks = (_of_sqlite if dialect is Dialect.SQLITE else _of_postgres)(connection)
    yield from (f"trigger {name} is missing" for name in TRIGGERS[dialect] if name not in triggers)
    for table in metadata.sorted_tables:
        for check in table.constraints:
            if isinstance(check, CheckConstraint) and str(check.name) not in checks:
                yield f"check {check.name} is missing"


def _of_sqlite(connection: Connection) -> tuple[set[str], set[str]]:
    found = connection.execute(text("SELECT type, name, sql FROM sqlite_master")).all()
    tables = "\n".join(row.sql for row in found if row.type == "table" and row.sql)
    triggers = {row.name for row in found if row.type == "trigger"}
    words = set(tables.replace('"', " ").split())
    return triggers, words


def _of_postgres(connection: Connection) -> tuple[set[str], set[str]]:
    enabled = "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled IN ('O', 'A')"
    valid = "SELECT conname FROM pg_constraint WHERE contype = 'c' AND convalidated"
    return (
        {str(name) for name in connection.execute(text(enabled)).scalars()},
        {str(name) for name in connection.execute(text(valid)).scalars()},
    )
