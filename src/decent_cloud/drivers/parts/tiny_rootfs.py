"""The project's own machine image: busybox, dropbear and sftp from this host's packages, as one tar.

Needs no registry and no root: programs and the libraries that `ldd` names are read from the host
(Debian: busybox-static, dropbear-bin, openssh-sftp-server). The same files give the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from decent_cloud.drivers.contract import Broken

ENTRY = "/entry.sh"
SHADOW_HEAD, SHADOW_TAIL = "root:", ":19000:0:99999:7:::\n"
NEEDS = {
    "/bin/busybox": "busybox-static",
    "/usr/sbin/dropbear": "dropbear-bin",
    "/usr/lib/openssh/sftp-server": "openssh-sftp-server",
}
CURE = "apt-get install -y " + " ".join(NEEDS.values())

_LDD_TIMEOUT_S = 10
_NAME_SERVICE = ("libnss_files.so.2", "libnss_dns.so.2")
_FOLDERS = {
    **dict.fromkeys(("bin", "dev", "etc", "etc/dropbear", "lib", "lib64", "mnt", "opt"), 0o755),
    **dict.fromkeys(("proc", "run", "sbin", "srv", "sys", "usr", "usr/bin", "usr/lib"), 0o755),
    **dict.fromkeys(("usr/sbin", "usr/local", "usr/local/bin", "var", "var/log"), 0o755),
    **dict.fromkeys(("root", "root/.ssh"), 0o700),
    **dict.fromkeys(("tmp", "var/tmp"), 0o1777),
}
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TEXTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
    "etc/shells": "/bin/sh\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
    "etc/profile": f"export PATH={_PATH}\nexport PS1='\\u@\\h:\\w\\$ '\numask 022\n",
    "etc/os-release": 'NAME="Decent tiny"\nID=decent-tiny\nPRETTY_NAME="Decent tiny"\n',
    "etc/motd": "",
}
# Host key, authorized keys and password hash are put in before the first start; a machine without
# a host key must not come up with one that nobody signed, so dropbear gets no -R.
_ENTRY_TEXT = f"""#!/bin/sh
export PATH={_PATH} HOME=/root
exec /usr/sbin/dropbear -F -E -m -r /etc/dropbear/host_key -p 22
"""


@dataclass(frozen=True, slots=True)
class Rootfs:
    """A root file system as an uncompressed tar, and the first digits of its content's hash."""

    tar: bytes
    digest: str


def build() -> Rootfs:
    """Build the tar in memory, about 9 MB in 0.1 s; raises Broken naming the missing packages."""
    missing = [package for path, package in NEEDS.items() if not Path(path).exists()]
    if missing:
        cure = f"apt-get install -y {' '.join(missing)}"
        raise Broken(f"the tiny image cannot be built; run: {cure}", cure=cure)
    files = _programs()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        _add_folders(tar, files)
        for target, source in sorted(files.items()):
            _add_file(tar, target, source.read_bytes(), 0o755)
        for name in _applets():
            _add_link(tar, name, "/bin/busybox")
        _add_link(tar, "usr/lib/sftp-server", "openssh/sftp-server")
        _add_texts(tar)
    raw = buffer.getvalue()
    return Rootfs(raw, hashlib.sha256(raw).hexdigest()[:16])


def _programs() -> dict[str, Path]:
    """Return each file to copy by its place in the image."""
    paths = {Path(name) for name in NEEDS}
    for name in NEEDS:
        paths |= {Path(each) for each in _libraries(name)}
    folders = {path.parent for path in paths if path.name.startswith("libc.so")}
    paths |= {folder / name for folder in folders for name in _NAME_SERVICE}
    return {str(path).lstrip("/"): path.resolve() for path in paths if path.exists()}


def _libraries(program: str) -> list[str]:
    """Return the absolute paths that `ldd` names; none for a static program."""
    done = subprocess.run(
        ["ldd", program], capture_output=True, text=True, check=False, timeout=_LDD_TIMEOUT_S
    )
    return [word for word in done.stdout.split() if word.startswith("/") and word != program]


def _applets() -> list[str]:
    """Return the places of busybox's commands."""
    done = subprocess.run(
        ["/bin/busybox", "--list-full"],
        capture_output=True,
        text=True,
        check=True,
        timeout=_LDD_TIMEOUT_S,
    )
    return sorted(set(done.stdout.split()) - {"bin/busybox", "linuxrc"})


def _add_folders(tar: tarfile.TarFile, files: dict[str, Path]) -> None:
    modes = dict(_FOLDERS)
    for name in [*files, *_applets()]:
        for parent in Path(name).parents:
            modes.setdefault(str(parent), 0o755)
    modes.pop(".", None)
    for name, mode in sorted(modes.items()):
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode = tarfile.DIRTYPE, mode
        tar.addfile(entry)


def _add_file(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))


def _add_link(tar: tarfile.TarFile, name: str, target: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, target, 0o777
    tar.addfile(entry)


def _add_texts(tar: tarfile.TarFile) -> None:
    for name, text in sorted(_TEXTS.items()):
        _add_file(tar, name, text.encode(), 0o644)
    _add_file(tar, "etc/shadow", f"{SHADOW_HEAD}*{SHADOW_TAIL}".encode(), 0o600)
    _add_file(tar, ENTRY.lstrip("/"), _ENTRY_TEXT.encode(), 0o755)
