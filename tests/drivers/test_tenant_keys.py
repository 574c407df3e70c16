"""SSH keys in a home that its tenant owns: nothing in it leads out of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from decent_cloud.drivers.contract import Broken, Rejected, SshKey
from decent_cloud.drivers.sandbox.tenant_keys import read_keys, replace_keys
from tests.support.key_lists import ssh_line

ONE, TWO = (SshKey.parse(ssh_line(number)) for number in (1, 2))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path / "home"
    made.mkdir()
    return made


def test_keys_are_written_where_there_was_nothing(home: Path) -> None:
    assert read_keys(home) == ()
    replace_keys(home, 0, (ONE,), TWO)
    file = home / ".ssh" / "authorized_keys"
    assert file.read_text() == f"{ONE.line()}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text(f"# mine\n{TWO.line()} agent\n")
    replace_keys(home, 0, (ONE,), TWO)
    assert read_keys(home) == (ONE.line(), TWO.line())


def test_a_folder_that_is_a_link_is_refused(home: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (home / ".ssh").symlink_to(elsewhere)
    with pytest.raises(Rejected):
        replace_keys(home, 0, (ONE,), None)
    with pytest.raises(Rejected):
        read_keys(home)
    assert list(elsewhere.iterdir()) == []


def test_a_file_that_is_a_link_is_neither_read_nor_written_through(
    home: Path, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("secret\n")
    (home / ".ssh").mkdir()
    (home / ".ssh" / ".authorized_keys.new").symlink_to(precious)
    replace_keys(home, 0, (ONE,), None)
    assert precious.read_text() == "secret\n"
    (home / ".ssh" / "authorized_keys").unlink()
    (home / ".ssh" / "authorized_keys").symlink_to(precious)
    with pytest.raises(Rejected):
        read_keys(home)
    replace_keys(home, 0, (ONE,), None)
    assert (read_keys(home), precious.read_text()) == ((ONE.line(),), "secret\n")


def test_what_is_no_file_or_endless_is_refused(home: Path) -> None:
    ssh = home / ".ssh"
    ssh.mkdir()
    (ssh / "authorized_keys").write_bytes(b"x" * 300_000)
    with pytest.raises(Broken):
        read_keys(home)
    (ssh / "authorized_keys").unlink()
    (ssh / "authorized_keys").mkdir()
    with pytest.raises(Rejected):
        read_keys(home)
