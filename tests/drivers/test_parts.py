"""Host keys, password hashes and the tiny root file system are what other programs make of them."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from decent_cloud.drivers.parts import tiny_rootfs
from decent_cloud.drivers.parts.host_key import dropbear_private, make_host_key, openssh_private
from decent_cloud.drivers.parts.password_hash import hash_password


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [each for each in programs if shutil.which(each) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


@needs("ssh-keygen")
def test_openssh_reads_the_same_public_half(tmp_path: Path) -> None:
    key = make_host_key(bytes(range(32)))
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_bytes(openssh_private(key))
    said = subprocess.run(
        ["ssh-keygen", "-yf", str(path)], check=True, capture_output=True, text=True
    )
    assert said.stdout.split()[:2] == key.public.split()


@needs("dropbearkey")
def test_dropbear_reads_the_same_public_half(tmp_path: Path) -> None:
    key = make_host_key(bytes(range(32)))
    path = tmp_path / "key"
    path.write_bytes(dropbear_private(key))
    command = ["dropbearkey", "-y", "-f", str(path)]
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    assert key.public in said.stdout


def test_a_host_key_hides_its_seed() -> None:
    key = make_host_key(bytes(range(32)))
    assert key.seed_hex.reveal() not in f"{key!r} {key.seed_hex}"


@needs("openssl")
@pytest.mark.parametrize("length", [1, 15, 16, 31, 63, 64, 65, 127, 128, 200])
def test_password_hashes_equal_those_of_openssl(length: int) -> None:
    password = ("correct horse battery staple " * 8)[:length]
    command = ["openssl", "passwd", "-6", "-salt", "abcdefghijklmnop", "-stdin"]
    said = subprocess.run(
        command, input=f"{password}\n", check=True, capture_output=True, text=True
    ).stdout.strip()
    assert hash_password(password, "abcdefghijklmnop") == said


def test_password_hashes_are_salted() -> None:
    assert hash_password("same") != hash_password("same")


@needs(*tiny_rootfs.NEEDS)
def test_the_tiny_root_is_the_same_bytes_each_time_and_complete() -> None:
    first, second = tiny_rootfs.build(), tiny_rootfs.build()
    assert first == second
    with tarfile.open(fileobj=io.BytesIO(first.tar)) as tar:
        names = tar.getnames()
        assert len(names) == len(set(names))
        assert {"entry.sh", "bin/busybox", "bin/sh", "usr/sbin/dropbear"} <= set(names)
        assert not any("host_key" in name or name.endswith("authorized_keys") for name in names)
        assert tar.getmember("etc/shadow").mode == 0o600
        assert tar.getmember("root/.ssh").mode == 0o700
    assert len(first.tar) < 12_000_000
