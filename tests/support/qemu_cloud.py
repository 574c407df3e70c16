"""A cloud of tiny virtual machines as a script for the script driver: one folder, one emulator a machine.

Needs no hardware help: QEMU emulates the processor. A program of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from decent_cloud.drivers.contract import HostKey, Secret
from decent_cloud.drivers.parts.host_key import dropbear_private
from decent_cloud.drivers.parts.tiny_rootfs import SHADOW_HEAD, SHADOW_TAIL
from tests.support.tiny_vm import QEMU

IMAGE = "tiny"
MEMORY_MIB = 128
_BANNER_S = 0.5
_QEMU_S = 20


class Refused(Exception):
    """Becomes the answer's error."""


class Cloud:
    def __init__(self, config: dict[str, str]) -> None:
        self.folder = Path(config["folder"])
        self.kernel, self.initrd = config["kernel"], config["initrd"]

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        with open(self.folder / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def scope(self) -> str:
        mark = self.folder / "scope"
        if not mark.exists():
            mark.write_text(f"qemu-{secrets.token_hex(8)}")
        return mark.read_text()

    def machine(self, name: str) -> dict[str, Any] | None:
        """Return what is kept of a machine; the file is written last, so it is whole or not at all."""
        path = self.folder / name / "machine.json"
        return json.loads(path.read_text()) if path.exists() else None

    def names(self) -> list[str]:
        return sorted(each.parent.name for each in self.folder.glob("*/machine.json"))

    def shown(self, name: str) -> dict[str, Any] | None:
        kept = self.machine(name)
        if kept is None:
            return None
        state = "stopped"
        if self._pid(name):
            state = "running" if self._answers(name, kept["port"]) else "creating"
        return {**kept, "state": state, "handle": {"name": name}, "host": "127.0.0.1"}

    def make(self, spec: dict[str, Any]) -> None:
        name = spec["name"]
        if self.machine(name) is None:
            shutil.rmtree(self.folder / name, ignore_errors=True)  # half made, and never started
            (self.folder / name).mkdir(mode=0o700)
            seed = os.open(self.folder / name / "seed.tar", os.O_WRONLY | os.O_CREAT, 0o600)
            with os.fdopen(seed, "wb") as file:
                file.write(_seed(spec))
            kept = {key: spec[key] for key in ("platform", "contract", "attempt")}
            kept |= {"port": spec["ssh_port"], "created_at_ms": time.time_ns() // 1_000_000}
            new = self.folder / name / "machine.new"
            new.write_text(json.dumps(kept))
            new.replace(self.folder / name / "machine.json")
        if not self._pid(name) and not (self.folder / name / "pid").exists():
            self._boot(name)

    def remove(self, name: str) -> None:
        pid = self._pid(name)
        if pid:
            os.kill(pid, signal.SIGKILL)
            while self._pid(name):
                time.sleep(0.01)
        shutil.rmtree(self.folder / name, ignore_errors=True)

    def _boot(self, name: str) -> None:
        folder = self.folder / name
        kept = self.machine(name)
        assert kept is not None
        command = [
            QEMU, "-accel", "tcg,thread=multi,tb-size=64", "-M", "pc", "-cpu", "max",
            "-m", str(MEMORY_MIB), "-display", "none", "-no-reboot", "-monitor", "none",
            "-serial", f"file:{folder}/serial.log", "-daemonize", "-pidfile", f"{folder}/pid",
            "-netdev", f"user,id=n0,restrict=on,hostfwd=tcp:127.0.0.1:{kept['port']}-:22",
            "-device", "virtio-net-pci,netdev=n0",
            "-drive", f"file={folder}/seed.tar,if=virtio,format=raw,readonly=on",
            "-kernel", self.kernel, "-initrd", self.initrd,
            "-append", "console=ttyS0 mitigations=off net.ifnames=0 quiet",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=_QEMU_S, check=False)
        if done.returncode:
            shutil.rmtree(folder)
            kind = "no_capacity" if "Could not set up host forwarding" in done.stderr else "broken"
            raise Refused(kind, done.stderr.strip()[:150])

    def _pid(self, name: str) -> int:
        """Return the emulator's process, 0 if it does not run (any more)."""
        try:
            pid = int((self.folder / name / "pid").read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return 0
        return pid if f"{self.folder}/{name}/pid".encode() in command else 0

    def _answers(self, name: str, port: int) -> bool:
        """Tell whether its SSH server ever answered: the emulator takes connections before it does."""
        up = self.folder / name / "up"
        if up.exists():
            return True
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as line:
            line.settimeout(_BANNER_S)
            if line.recv(4) == b"SSH-":
                up.touch()
                return True
        return False


def _seed(spec: dict[str, Any]) -> bytes:
    """Return what belongs into the machine as a tar, padded to whole sectors."""
    key = HostKey(spec["host_key_public"], Secret(spec["host_key_seed_hex"]))
    lines = [*spec["ssh_keys"], spec["management_key"]]
    files = {
        "etc/dropbear/host_key": dropbear_private(key),
        "etc/hostname": f"{spec['hostname']}\n".encode(),
        "etc/shadow": f"{SHADOW_HEAD}{spec['password_hash']}{SHADOW_TAIL}".encode(),
        "root/.ssh/authorized_keys": "".join(f"{each}\n" for each in lines if each).encode(),
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o600
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def probe(_cloud: Cloud, _asked: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run([QEMU, "--version"], capture_output=True, text=True, check=False)
    found = {"name": "emulator", "passed": done.returncode == 0, "detail": done.stdout[:100]}
    return {"limits": ["memory"], "checks": [found]}


def scope(_cloud: Cloud, _asked: dict[str, Any]) -> dict[str, Any]:
    return {}


def create(cloud: Cloud, asked: dict[str, Any]) -> dict[str, Any]:
    spec = asked["spec"]
    if spec["image"] != IMAGE:
        raise Refused("rejected", f"the only image is {IMAGE}")
    foreign = (cloud.folder / spec["name"] / "foreign").exists()
    if foreign:
        raise Refused("rejected", f"{spec['name']} exists and is not ours")
    kept = cloud.machine(spec["name"])
    if kept is None or kept["platform"] == spec["platform"]:
        cloud.make(spec)
    return {"machine": cloud.shown(spec["name"])}


def inspect(cloud: Cloud, asked: dict[str, Any]) -> dict[str, Any]:
    return {"machine": cloud.shown(asked["handle"]["name"])}


def destroy(cloud: Cloud, asked: dict[str, Any]) -> dict[str, Any]:
    cloud.remove(asked["handle"]["name"])
    return inspect(cloud, asked)


def list_(cloud: Cloud, asked: dict[str, Any]) -> dict[str, Any]:
    found = [each for each in map(cloud.shown, cloud.names()) if each]
    wanted = ("", asked["contract"])
    return {
        "machines": [
            each
            for each in found
            if each["platform"] == asked["platform"]
            and (not asked["contract"] or each["contract"] in wanted)
        ]
    }


VERBS: dict[str, Callable[[Cloud, dict[str, Any]], dict[str, Any]]] = {
    "probe": probe,
    "scope": scope,
    "create": create,
    "inspect": inspect,
    "destroy": destroy,
    "list": list_,
}


def main() -> None:
    asked = json.load(sys.stdin)
    cloud = Cloud(asked["config"])
    try:
        with cloud.locked():
            said = {"scope": cloud.scope(), **VERBS[asked["verb"]](cloud, asked)}
    except Refused as refused:
        kind, message = refused.args
        said = {"error": {"kind": kind, "message": message}}
    sys.stdout.write(json.dumps({"protocol": 1, **said}))


if __name__ == "__main__":
    main()
