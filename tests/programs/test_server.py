"""The server as a process: what it prints, what it refuses, how it stops, what it writes down."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from decent_cloud.app.platform import WrongMode, WrongPlatform
from decent_cloud.kernel.errors import Invalid, NotFound
from decent_cloud.kernel.status import ServerMode
from decent_cloud.programs.server import build, grant_admin
from decent_cloud.programs.server_keys import MASTER_FILE, PLATFORM_FILE, load_keys
from decent_cloud.programs.server_settings import ServerSettings
from tests.http.test_streams import listening
from tests.support.market import (
    PASSWORD,
    SCOPE,
    lease,
    provisioned,
    publish,
    rent,
    until,
)
from tests.support.people import Api, new_person, new_shop
from tests.support.platform import running_platform

RUN = """
import sys
from pathlib import Path
from decent_cloud.programs.server import run
from decent_cloud.programs.server_settings import read_settings
run(read_settings(given={"data": sys.argv[1], "listen": "127.0.0.1:0"}), ready_file=Path(sys.argv[2]))
"""


@contextmanager
def serving(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the server as a process of its own; yields it and its origin."""
    ready = folder / "ready"
    ready.unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(folder / "data"), str(ready)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 30
        while not ready.exists():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield process, ready.read_text().removeprefix("listening on ").strip()
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.slow
def test_it_says_where_it_listens_and_stops_at_once_with_open_streams(tmp_path: Path) -> None:
    with serving(tmp_path) as (process, url):
        shop = new_shop(url)
        with listening(shop.agent, "/agents/me/events") as stream:
            assert stream.next()[1] == "hello"
            ended = threading.Thread(target=stream.drained)
            ended.start()
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=20)
            took_s = time.monotonic() - began
            ended.join(5)
        assert process.returncode == 0, err
        assert took_s < 3
        assert out == f"listening on {url}\n"
        assert "Traceback" not in err
    log = [json.loads(line) for line in err.splitlines()]
    stream_lines = [line for line in log if line.get("route") == "/api/v1/agents/me/events"]
    assert [line["status"] for line in stream_lines] == [200]


@pytest.mark.slow
def test_secrets_and_personal_fields_are_not_in_the_log_or_the_database(tmp_path: Path) -> None:
    with serving(tmp_path) as (process, url):
        ada = new_person(url)
        canary = "canary-5e1f@example.test"
        body = {"display_name": "Canary Person", "email": canary}
        assert ada.api.put("/accounts/me/profile", body).status_code == 200
        assert ada.api.get("/accounts/me").json()["email"] == canary
        ada.api.get("/offerings", text="canary-query")
        ada.api.put("/accounts/me/profile", {"email": "canary-without-at"})
        shop = new_shop(url)
        contract = rent(ada, publish(shop))
        until(ada, contract["id"], "accepted")
        fence = lease(shop, contract["id"])["fence"]
        started = {"fence": fence, "scope": SCOPE}
        shop.agent.post(f"/assignments/{contract['id']}/create-started", started)
        assert provisioned(shop, ada, contract, fence).status_code == 200
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
        assert process.returncode == 0
        folder = tmp_path / "data"
        kept = b"".join(path.read_bytes() for path in folder.glob("decent.db*"))
        secrets = (canary, "Canary Person", "canary-query", "canary-without-at", PASSWORD)
        for secret in secrets:
            assert secret not in err
            assert secret.encode() not in kept
        for key in (PLATFORM_FILE, MASTER_FILE):
            assert (folder / key).read_text().strip() not in err
        assert ada.id in err
        assert "127.0.0.1" not in err


@pytest.mark.slow
def test_a_killed_server_loses_nothing_it_answered(tmp_path: Path) -> None:
    with serving(tmp_path) as (process, url):
        ada = new_person(url)
        process.kill()
        process.wait()
    with serving(tmp_path) as (_, url):
        ada.url = url
        ada.__post_init__()
        assert ada.api.get("/accounts/me").json()["id"] == ada.id


@pytest.mark.slow
def test_a_taken_port_changes_nothing(tmp_path: Path) -> None:
    with serving(tmp_path) as (_, url):
        port = url.rpartition(":")[2]
        other = tmp_path / "other"
        script = RUN.replace('"127.0.0.1:0"', f'"127.0.0.1:{port}"')
        done = subprocess.run(
            [sys.executable, "-c", script, str(other), str(tmp_path / "r2")],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode != 0
        assert "in use" in done.stderr
        assert not other.exists()


def _settings(folder: Path, mode: ServerMode = ServerMode.DEVELOPMENT) -> ServerSettings:
    origins = ("https://cloud.example",) if mode is ServerMode.PRODUCTION else ()
    port = 8443 if origins else 0
    return ServerSettings(
        data=str(folder), listen=f"127.0.0.1:{port}", mode=mode, public_origins=origins
    )


def _start(settings: ServerSettings) -> None:
    import asyncio

    async def start() -> None:
        server = build(settings)
        try:
            await server.start()
        finally:
            await server.stop()

    asyncio.run(start())


def test_a_database_belongs_to_one_mode(tmp_path: Path) -> None:
    _start(_settings(tmp_path))
    _start(_settings(tmp_path))
    with pytest.raises(WrongMode):
        _start(_settings(tmp_path, ServerMode.PRODUCTION))


def test_a_production_server_has_no_fake_money(tmp_path: Path) -> None:
    server = build(_settings(tmp_path, ServerMode.PRODUCTION))
    assert server.edge.processors == ()
    assert not (tmp_path / "sandbox-processor.db").exists()


def test_a_database_belongs_to_one_platform_key(tmp_path: Path) -> None:
    _start(_settings(tmp_path / "a"))
    load_keys(tmp_path / "b")
    (tmp_path / "b" / "decent.db").write_bytes((tmp_path / "a" / "decent.db").read_bytes())
    with pytest.raises(WrongPlatform):
        _start(_settings(tmp_path / "b"))


def test_keys_are_made_once_and_for_the_owner_only(tmp_path: Path) -> None:
    first = load_keys(tmp_path / "new")
    again = load_keys(tmp_path / "new")
    assert first.platform.platform_id == again.platform.platform_id
    assert first.master == again.master
    assert "master=" not in repr(first)
    for name in (PLATFORM_FILE, MASTER_FILE):
        assert stat.S_IMODE((tmp_path / "new" / name).stat().st_mode) == 0o600


@pytest.mark.parametrize("name", [PLATFORM_FILE, MASTER_FILE])
def test_a_lost_or_spoilt_key_is_never_replaced(tmp_path: Path, name: str) -> None:
    load_keys(tmp_path)
    path = tmp_path / name
    kept = path.read_text()
    path.unlink()
    with pytest.raises(Invalid, match="missing"):
        load_keys(tmp_path)
    path.write_text("garbage\n")
    path.chmod(0o600)
    with pytest.raises(Invalid, match="not a key file"):
        load_keys(tmp_path)
    path.write_text(kept)
    path.chmod(0o640)
    with pytest.raises(Invalid, match="chmod 600"):
        load_keys(tmp_path)
    path.chmod(0o600)
    load_keys(tmp_path)


def test_admins_are_granted_beside_the_running_server(tmp_path: Path) -> None:
    with running_platform(tmp_path) as platform:
        ada = new_person(platform.url)
        assert not ada.api.get("/accounts/me").json()["admin"]
        grant_admin(platform.server.settings, ada.id)
        assert ada.api.get("/accounts/me").json()["admin"]
        grant_admin(platform.server.settings, ada.id, admin=False)
        assert not ada.api.get("/accounts/me").json()["admin"]
        with pytest.raises(NotFound):
            grant_admin(platform.server.settings, "0" * 64)


def test_granting_makes_no_platform_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no platform"):
        grant_admin(_settings(tmp_path / "elsewhere"), "0" * 64)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.slow
def test_a_ready_descriptor_gets_the_line_too(tmp_path: Path) -> None:
    read, write = os.pipe()
    script = RUN.replace("ready_file=Path(sys.argv[2])", f"ready_fd={write}")
    command: Sequence[str] = [sys.executable, "-c", script, str(tmp_path / "data")]
    process = subprocess.Popen(
        command, pass_fds=[write], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    os.close(write)
    with os.fdopen(read) as pipe:
        line = pipe.read()
    url = line.removeprefix("listening on ").strip()
    assert Api(url).get("/platform").json()["origins"] == [url]
    process.terminate()
    assert process.wait(20) == 0
    if process.stderr:
        process.stderr.close()
