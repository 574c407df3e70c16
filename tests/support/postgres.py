"""A PostgreSQL of our own for tests and benchmarks: started on a free loopback port, thrown away at the end."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg
from psycopg import sql

ACCOUNT = "postgres"  # initdb refuses to run as root, so root borrows the package's account
START_TIMEOUT_S = 60
UNSAFE_AND_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class PostgresMissing(Exception):
    """PostgreSQL's programs are not on this machine: apt-get install postgresql."""


@dataclass(slots=True)
class PostgresServer:
    """One running server; `url` names a database that exists, `fresh_database` makes more of them."""

    port: int
    folder: Path
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))
    _templates: set[str] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Give the address of the server's first database, which starts empty."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """Give the address of a database, as SQLAlchemy 2.1 and libpq both read it."""
        return f"postgresql://{ACCOUNT}@127.0.0.1:{self.port}/{database}"

    def fresh_database(
        self, template: str = "", prepare: Callable[[str], None] | None = None
    ) -> str:
        """Make a database and return its address.

        With a template name, `prepare(url)` fills the template the first time and every database starts as its
        copy (tens of milliseconds); it must leave no connection open.
        """
        if template and template not in self._templates:
            self._create(template, "template1")
            if prepare is not None:
                prepare(self.url_of(template))
            self._templates.add(template)
        name = f"fresh_{next(self._numbers)}"
        self._create(name, template or "template1")
        return self.url_of(name)

    def drop_database(self, url: str) -> None:
        """Remove a database, cutting off whoever still uses it."""
        name = sql.Identifier(url.rpartition("/")[2])
        self._run(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))

    def _create(self, name: str, template: str) -> None:
        self._run(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )

    def _run(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def running_postgres(*, fsync: bool = False) -> Iterator[PostgresServer]:
    """Start a server in a scratch folder and stop it at the end; `fsync` True keeps commits durable, for benchmarks."""
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="dc-pg-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, ACCOUNT, ACCOUNT)
        _init(programs, folder)
        process, port = _start(programs, folder, () if fsync else UNSAFE_AND_FAST)
        try:
            yield PostgresServer(port=port, folder=folder)
        finally:
            _stop(process)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path:
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    on_path = shutil.which("initdb")
    if on_path:
        found.append(Path(on_path).resolve().parent)
    if not found:
        raise PostgresMissing(PostgresMissing.__doc__)
    return max(found, key=_version)


def _version(programs: Path) -> int:
    digits = re.search(r"/(\d+)/bin$", str(programs))
    return int(digits[1]) if digits else 0


def _as_postgres(*command: str | Path) -> list[str]:
    # The signal on the parent's death stops the server also when the test run is killed.
    prefix = ["setpriv", "--pdeathsig", "INT"]
    if os.geteuid() == 0:
        prefix += ["--reuid", ACCOUNT, "--regid", ACCOUNT, "--init-groups"]
    return [*prefix, *map(str, command)]


def _init(programs: Path, folder: Path) -> None:
    options = [
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--no-sync",
        f"--username={ACCOUNT}",
    ]
    command = _as_postgres(programs / "initdb", "--pgdata", folder / "data", *options)
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode != 0:
        raise RuntimeError(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")


def _start(
    programs: Path, folder: Path, options: tuple[str, ...]
) -> tuple[subprocess.Popen[bytes], int]:
    for _ in range(5):  # the port is free when we look, and may be taken when the server binds it
        port = _free_port()
        settings = [
            "listen_addresses=127.0.0.1",
            f"port={port}",
            f"unix_socket_directories={folder}",
            *options,
        ]
        command = _as_postgres(programs / "postgres", "-D", folder / "data")
        command += [part for setting in settings for part in ("-c", setting)]
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        if _answers(process, port):
            return process, port
        _stop(process)
    raise RuntimeError(f"postgres did not start: {(folder / 'log').read_text()[-2000:]}")


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    end = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end and process.poll() is None:
        try:
            with psycopg.connect(
                f"postgresql://{ACCOUNT}@127.0.0.1:{port}/postgres", connect_timeout=2
            ):
                return True
        except psycopg.OperationalError:
            time.sleep(0.05)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(
            signal.SIGINT
        )  # a fast shutdown: clients are cut off, files are left whole
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
