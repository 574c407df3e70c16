"""The tiny machine: a Debian kernel, and the project's tiny root file system as its initial RAM disk.

What a machine needs to know comes as a tar on its first disk, read without any file system.
"""

from __future__ import annotations

import gzip
import io
import lzma
import os
import shutil
import stat
import tarfile
from pathlib import Path

from decent_cloud.drivers.contract import Broken
from decent_cloud.drivers.parts import tiny_rootfs

VM = Path(__file__).parents[2] / "build/vm"
KERNEL = VM / "vmlinuz"
QEMU = "qemu-system-x86_64"
# In the order in which they are put in.
_MODULES = (
    "virtio_ring",
    "virtio",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
    "virtio_blk",
)
_INIT = f"""#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
for module in {" ".join(_MODULES)}; do insmod /modules/$module.ko; done
ip link set lo up
ip addr add 10.0.2.15/24 dev eth0
ip link set eth0 up
ip route add default via 10.0.2.2
tar -xf /dev/vda -C /
hostname -F /etc/hostname
{tiny_rootfs.ENTRY} &
while :; do sleep 3600; done
"""


def missing() -> str:
    """Say what is missing to boot the tiny machine, empty if nothing is."""
    if shutil.which(QEMU) is None:
        return f"{QEMU} is not installed; as root: tools/bootstrap vm"
    if not KERNEL.exists():
        return "no kernel in build/vm; run: tools/bootstrap vm"
    return ""


def initial_disk() -> Path:
    """Return the initial RAM disk, built where this content was not there yet. Errors: Broken."""
    root = tiny_rootfs.build()
    path = VM / f"tiny-{root.digest}.gz"
    if not path.exists():
        new = path.with_suffix(f".{os.getpid()}")
        new.write_bytes(gzip.compress(_archive(root.tar), 1))
        new.replace(path)
    return path


def _archive(root: bytes) -> bytes:
    """Turn the root file system, the modules and /init into a cpio archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(root)) as tar:
        for number, entry in enumerate(tar, 1):
            if entry.isdir():
                _put(out, number, entry.name, stat.S_IFDIR | entry.mode)
            elif entry.issym():
                _put(out, number, entry.name, stat.S_IFLNK | 0o777, entry.linkname.encode())
            else:
                file = tar.extractfile(entry)
                assert file is not None
                _put(out, number, entry.name, stat.S_IFREG | entry.mode, file.read())
    _put(out, 90_000, "modules", stat.S_IFDIR | 0o755)
    for number, name in enumerate(_MODULES, 90_001):
        _put(out, number, f"modules/{name}.ko", stat.S_IFREG | 0o644, _module(name))
    _put(out, 99_000, "init", stat.S_IFREG | 0o755, _INIT.encode())
    _put(out, 0, "TRAILER!!!", 0)
    return out.getvalue()


def _module(name: str) -> bytes:
    for path in VM.glob(f"modules/**/{name}.ko*"):
        raw = path.read_bytes()
        return lzma.decompress(raw) if path.suffix == ".xz" else raw
    raise Broken(f"the kernel in build/vm has no module {name}")


def _put(out: io.BytesIO, number: int, name: str, mode: int, content: bytes = b"") -> None:
    """Add one entry in the "newc" format: hexadecimal fields, name and content padded to four."""
    path = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
    out.write(b"070701" + b"".join(b"%08X" % field for field in fields) + path)
    out.write(b"\0" * (-out.tell() % 4))
    out.write(content)
    out.write(b"\0" * (-out.tell() % 4))
