"""The two commands that replace and read a user's SSH keys, run by real shells on files of our own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from decent_cloud.drivers.contract import Broken, Rejected, SshKey, TryLater
from decent_cloud.drivers.parts import authorized_keys
from tests.support.key_lists import ssh_line

ONE, TWO, THREE = (SshKey.parse(ssh_line(number)) for number in (1, 2, 3))
_BUSYBOX = shutil.which("busybox")
SHELLS = [
    pytest.param(("/bin/sh",), id="sh"),
    pytest.param(
        (_BUSYBOX or "", "sh"),
        id="busybox",
        marks=pytest.mark.skipif(_BUSYBOX is None, reason="there is no busybox here"),
    ),
]


class Home:
    """A user's home, with the file that says where it is."""

    def __init__(self, folder: Path, shell: tuple[str, ...]) -> None:
        self.ssh = folder / "home" / ".ssh"
        self.file = self.ssh / "authorized_keys"
        self._passwd = folder / "passwd"
        self._shell = shell
        self._passwd.write_text(
            "root:x:0:0:root:/nowhere:/bin/sh\n"
            f"ada:x:{os.getuid()}:{os.getgid()}:Ada:{self.ssh.parent}:/bin/sh\n"
        )
        self.ssh.parent.mkdir()

    def run(self, command: tuple[str, ...], fed: bytes) -> tuple[int, str]:
        script = command[-1].replace("/etc/passwd", str(self._passwd))
        done = subprocess.run(
            [*self._shell, "-c", script], input=fed, capture_output=True, check=False, timeout=30
        )
        return done.returncode, done.stdout.decode()

    def replace(self, *keys: SshKey, kept: SshKey | None = None) -> None:
        fed = authorized_keys.fed_to_replace("ada", keys, kept)
        assert self.run(authorized_keys.REPLACE, fed)[0] == 0

    def read(self) -> tuple[str, ...]:
        code, said = self.run(authorized_keys.READ, authorized_keys.fed_to_read("ada"))
        assert code == 0
        return authorized_keys.lines_in(said)


@pytest.fixture(params=SHELLS)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    return Home(tmp_path, request.param)


def test_the_keys_are_put_in_where_there_were_none(home: Home) -> None:
    assert home.read() == ()
    home.replace(ONE, TWO)
    assert home.read() == (ONE.line(), TWO.line())
    assert home.file.read_text() == f"{ONE.line()}\n{TWO.line()}\n"
    assert home.file.stat().st_mode & 0o777 == 0o600
    assert home.ssh.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in home.ssh.iterdir()] == ["authorized_keys"]


def test_whatever_was_there_goes_also_from_the_second_file(home: Home) -> None:
    home.ssh.mkdir()
    home.file.write_text(f'# mine\ncommand="id" {TWO.line()} me\n{THREE.line()}')
    (home.ssh / "authorized_keys2").write_text(f"{TWO.line()}\n")
    (home.ssh / ".authorized_keys.new").write_text("what a killed command left\n")
    assert home.read() == (
        f'command="id" {TWO.line()} me',
        THREE.line(),
        TWO.line(),
    )
    home.replace(ONE)
    assert home.read() == (ONE.line(),)
    assert [path.name for path in home.ssh.iterdir()] == ["authorized_keys"]
    home.replace(ONE)
    assert home.read() == (ONE.line(),)


@pytest.mark.parametrize(
    ("before", "stays"),
    [
        (f"{THREE.line()}\n", True),
        (f"{TWO.line()}\n{THREE.line()} agent\n", True),
        (f"{TWO.line()}\n", False),
        (f"#{THREE.line()}\n", False),
        (f"# {THREE.line()}\n", False),
    ],
)
def test_the_agents_own_key_stays_where_the_tenant_has_left_it(
    home: Home, before: str, stays: bool
) -> None:
    home.ssh.mkdir()
    home.file.write_text(before)
    home.replace(ONE, kept=THREE)
    assert home.read() == ((ONE.line(), THREE.line()) if stays else (ONE.line(),))


def test_half_a_list_changes_nothing(home: Home) -> None:
    home.replace(ONE)
    fed = authorized_keys.fed_to_replace("ada", (TWO, THREE), None)
    for size in (0, 3, 4, 5, 40, len(fed) - 60, len(fed) - 5):
        code, _ = home.run(authorized_keys.REPLACE, fed[:size])
        assert code != 0
        assert home.read() == (ONE.line(),)
    code, _ = home.run(authorized_keys.REPLACE, fed[:-5])
    with pytest.raises(TryLater):
        authorized_keys.check_exit(code)
    assert [path.name for path in home.ssh.iterdir()] == ["authorized_keys"]


def test_a_file_that_is_a_link_is_replaced_and_what_it_led_to_is_left(
    home: Home, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("precious\n")
    home.ssh.mkdir()
    for name in ("authorized_keys", ".authorized_keys.new"):
        (home.ssh / name).symlink_to(elsewhere)
    home.replace(ONE)
    assert not home.file.is_symlink()
    assert elsewhere.read_text() == "precious\n"


def test_an_unknown_user_is_refused(home: Home) -> None:
    for command, fed in (
        (authorized_keys.REPLACE, authorized_keys.fed_to_replace("bob", (ONE,), None)),
        (authorized_keys.READ, authorized_keys.fed_to_read("bob")),
    ):
        code, _ = home.run(command, fed)
        assert code == authorized_keys.NO_SUCH_USER
        with pytest.raises(Rejected):
            authorized_keys.check_exit(code)


@pytest.mark.parametrize("user", ["", "root\nx", "a b", "$(id)", "-v"])
def test_a_user_that_does_not_fit_a_line_is_not_sent(user: str) -> None:
    with pytest.raises(Rejected):
        authorized_keys.fed_to_replace(user, (ONE,), None)
    with pytest.raises(Rejected):
        authorized_keys.fed_to_read(user)


def test_nothing_that_is_sent_stands_in_the_command() -> None:
    for command in (authorized_keys.REPLACE, authorized_keys.READ):
        line = authorized_keys.command_line(command)
        assert "ssh-ed25519" not in line
        assert "ada" not in line
    assert authorized_keys.command_line(authorized_keys.READ, sudo=True).startswith(
        "sudo -n /bin/sh"
    )


def test_an_answer_that_was_cut_off_or_is_absurd_proves_nothing() -> None:
    for said in ("", ONE.line(), f"{ONE.line()}\n"):
        with pytest.raises(TryLater):
            authorized_keys.lines_in(said)
    with pytest.raises(Broken):
        authorized_keys.lines_in("x\n" * 2_000 + "end\n")
    with pytest.raises(Rejected):
        authorized_keys.check_exit(1)
    authorized_keys.check_exit(0)
