from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from tests.support.postgres import PostgresServer, running_postgres

pytestmark = pytest.mark.postgres


def _fill(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept VALUES (7)")


def _rows(url: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT n FROM kept").fetchall()


def test_databases_made_from_one_template_share_its_rows_and_nothing_else(
    postgres_database: Callable[..., str],
) -> None:
    prepared: list[str] = []

    def prepare(url: str) -> None:
        prepared.append(url)
        _fill(url)

    one = postgres_database("kept_template", prepare)
    two = postgres_database("kept_template", prepare)
    with psycopg.connect(one) as connection:
        connection.execute("DELETE FROM kept")
    assert _rows(one) == []
    assert _rows(two) == [(7,)]
    assert len(prepared) == 1


def test_dropping_a_database_in_use_cuts_its_user_off(postgres_server: PostgresServer) -> None:
    url = postgres_server.fresh_database()
    connection = psycopg.connect(url)
    postgres_server.drop_database(url)
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    connection.close()


def test_a_server_with_fsync_is_durable_and_leaves_nothing_behind() -> None:
    with running_postgres(fsync=True) as server:
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SHOW fsync").fetchone() == ("on",)
        folder = server.folder
    assert not folder.exists()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.url, connect_timeout=1)
