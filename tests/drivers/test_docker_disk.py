"""Where the engine's store can hold quotas, the probe finds the disk limit and machines keep it."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

MISSING = [each for each in ("dockerd", "mkfs.btrfs", "ip", "nsenter") if not shutil.which(each)]

pytestmark = [
    pytest.mark.docker,
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0, reason="an engine on a file system of its own needs root"
    ),
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]

# In a network namespace of its own, since the session's engine may be up.
PROGRAM = """
import sys
from pathlib import Path
from devtools.engine import engine
from decent_cloud.drivers.docker.driver import DockerDriver
from decent_cloud.drivers.conformance.rig import Rig
from decent_cloud.drivers.conformance.specs import handle_of, new_spec

class DiskRig(Rig):
    platform, image = "disk", "tiny"
    def next_port(self): return 22500

with engine(Path(sys.argv[1]), own=True, extra_args=("--storage-driver", "btrfs")) as made:
    driver = DockerDriver.from_settings({"engine": made.url}, "disk")
    print(sorted(driver.probe().limits))
    spec = new_spec(DiskRig())
    seen = driver.create(spec)
    print(driver._engine.run_in(spec.name, ["/bin/dd", "if=/dev/zero", "of=/f", "bs=1M", "count=1200"])[1])
    driver.destroy(handle_of(seen), spec.contract)
    driver.close()
"""


@pytest.fixture
def btrfs(tmp_path: Path) -> Iterator[Path]:
    image, point = tmp_path / "image", Path(mkdtemp(dir="/var/tmp"))  # sockets need short paths
    with image.open("wb") as file:
        file.truncate(3 << 30)
    subprocess.run(["mkfs.btrfs", "-q", str(image)], check=True, capture_output=True)
    done = subprocess.run(["mount", "-o", "loop", str(image), str(point)], check=False)
    if done.returncode:
        point.rmdir()
        pytest.skip("this kernel mounts no btrfs")
    yield point
    subprocess.run(["umount", str(point)], check=True)
    point.rmdir()
    image.unlink()


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"ddsk{secrets.token_hex(3)}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
    yield name
    subprocess.run(["ip", "netns", "delete", name], check=True)


def test_a_machine_cannot_write_more_than_its_disk(btrfs: Path, namespace: str) -> None:
    line = ["nsenter", f"--net=/run/netns/{namespace}", sys.executable, "-c", PROGRAM]
    done = subprocess.run(
        [*line, str(btrfs / "engine")],
        cwd=Path(__file__).parents[2],
        check=True,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert "'disk'" in done.stdout
    assert "Disk quota exceeded" in done.stdout
