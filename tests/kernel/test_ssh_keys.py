"""SSH public keys: what ssh-keygen makes is read, everything else is refused with its cure."""

from __future__ import annotations

import base64
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decent_cloud.kernel.ssh_keys import KNOWN_TYPES, BadSshKey, SshPublicKey

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJFqUUlyyUJy4UElTeP4S5W5qiGVrcN2KMQTP8AYPHfS"


def string(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value


def line(type_: str, *fields: bytes, inner: str = "") -> str:
    blob = string((inner or type_).encode()) + b"".join(map(string, fields))
    return f"{type_} {base64.b64encode(blob).decode()}"


RSA_2048 = (1 << 2_047 | 1).to_bytes(257, "big")
GOOD = {
    "ssh-ed25519": line("ssh-ed25519", bytes(32)),
    "ssh-rsa": line("ssh-rsa", b"\1\0\1", RSA_2048),
    "ecdsa-sha2-nistp256": line("ecdsa-sha2-nistp256", b"nistp256", b"\4" + bytes(64)),
    "ecdsa-sha2-nistp384": line("ecdsa-sha2-nistp384", b"nistp384", b"\4" + bytes(96)),
    "ecdsa-sha2-nistp521": line("ecdsa-sha2-nistp521", b"nistp521", b"\4" + bytes(132)),
    "sk-ssh-ed25519@openssh.com": line("sk-ssh-ed25519@openssh.com", bytes(32), b"ssh:"),
    "sk-ecdsa-sha2-nistp256@openssh.com": line(
        "sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", b"\4" + bytes(64), b"ssh:"
    ),
}


def test_every_known_type_has_a_good_example() -> None:
    assert set(GOOD) == KNOWN_TYPES


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD.keys())
def test_a_good_key_is_reduced_to_type_and_blob(text: str) -> None:
    key = SshPublicKey.parse(f"  {text} somebody's laptop \n")
    assert key.line() == text
    assert SshPublicKey.parse(key.line()) == key


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
@pytest.mark.parametrize("arguments", [["ed25519"], ["ecdsa", "-b", "521"], ["rsa", "-b", "2048"]])
def test_what_ssh_keygen_makes_is_read_with_its_fingerprint(
    arguments: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "key"
    command = ["ssh-keygen", "-q", "-N", "", "-f", str(path), "-t", *arguments]
    subprocess.run(command, check=True)
    key = SshPublicKey.parse((tmp_path / "key.pub").read_text())
    listed = ["ssh-keygen", "-lf", str(tmp_path / "key.pub")]
    said = subprocess.run(listed, check=True, capture_output=True, text=True).stdout
    assert key.fingerprint() == said.split()[1]


BAD = {
    "empty": ("  ", "paste"),
    "type only": ("ssh-ed25519", "base64 part is missing"),
    "private key": ("-----BEGIN OPENSSH PRIVATE KEY-----\nabc", ".pub"),
    "rfc 4716": ("---- BEGIN SSH2 PUBLIC KEY ----", "ssh-keygen -i"),
    "two lines": (f"{ED25519}\n{ED25519}", "line breaks"),
    "nul": (f"{ED25519} a\0b", "control characters"),
    "far too long": (f"{ED25519} {'x' * 9_000}", "longer than"),
    "options": (f'command="rm -rf /" {ED25519}', "options"),
    "one option": (f"no-pty {ED25519}", "options"),
    "certificate": ("ssh-ed25519-cert-v01@openssh.com AAAA", "certificates"),
    "dsa": (line("ssh-dss", b"\1", b"\1", b"\1", b"\1"), "ssh-keygen -t ed25519"),
    "unknown type": ("ssh-rot13 AAAA", "unknown key type"),
    "not base64": ("ssh-ed25519 !!!!", "damaged"),
    "not canonical base64": (f"{GOOD['sk-ssh-ed25519@openssh.com'][:-2]}p=", "canonical"),
    "other type inside": (line("ssh-ed25519", bytes(32), inner="ssh-rsa"), "type differs"),
    "short ed25519": (line("ssh-ed25519", bytes(31)), "32 bytes"),
    "bytes after the end": (line("ssh-ed25519", bytes(32), b"x"), "after the key's end"),
    "cut off": ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==", "cut off"),
    "cut off in a length": ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAA=", "cut off"),
    "weak rsa": (line("ssh-rsa", b"\1\0\1", (1 << 1_023 | 1).to_bytes(129, "big")), "2048 bits"),
    "huge rsa": (line("ssh-rsa", b"\3", (1 << 16_384 | 1).to_bytes(2_049, "big")), "no sense"),
    "even rsa exponent": (line("ssh-rsa", b"\1\0\0", RSA_2048), "no sense"),
    "even rsa modulus": (line("ssh-rsa", b"\3", (1 << 2_047).to_bytes(257, "big")), "no sense"),
    "negative rsa": (line("ssh-rsa", b"\1\0\1", b"\xff" * 256), "no sense"),
    "padded rsa": (line("ssh-rsa", b"\0\1\0\1", RSA_2048), "no sense"),
    "zero rsa": (line("ssh-rsa", b"\0", RSA_2048), "no sense"),
    "no rsa": (line("ssh-rsa", b"", RSA_2048), "no sense"),
    "other curve": (line("ecdsa-sha2-nistp256", b"nistp384", b"\4" + bytes(64)), "curve differs"),
    "compressed point": (line("ecdsa-sha2-nistp256", b"nistp256", b"\2" + bytes(32)), "form"),
    "odd point": (line("ecdsa-sha2-nistp256", b"nistp256", b"\5" + bytes(64)), "form"),
    "no application": (line("sk-ssh-ed25519@openssh.com", bytes(32), b""), "application"),
}


@pytest.mark.parametrize(("text", "cure"), BAD.values(), ids=BAD.keys())
def test_a_bad_key_is_refused_and_the_message_helps(text: str, cure: str) -> None:
    with pytest.raises(BadSshKey, match=cure):
        SshPublicKey.parse(text)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        key = SshPublicKey.parse(text)
    except BadSshKey:
        return
    assert key.type in KNOWN_TYPES


@given(st.sampled_from(sorted(GOOD)), st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_never_gives_the_same_key(type_: str, place: int, change: int) -> None:
    good = SshPublicKey.parse(GOOD[type_])
    raw = bytearray(base64.b64decode(good.blob))
    raw[place % len(raw)] ^= change
    try:
        other = SshPublicKey.parse(f"{type_} {base64.b64encode(raw).decode()}")
    except BadSshKey:
        return
    assert other != good
