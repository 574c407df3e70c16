"""The script driver over the example script, with a program before it that lets a verb go wrong."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import shlex
import sys
import time
from pathlib import Path
from typing import Any

from decent_cloud.drivers.conformance.rig import Act, Fault, Power, Rig, every
from decent_cloud.drivers.contract import Observation, Secret
from decent_cloud.drivers.script.driver import ScriptDriver
from decent_cloud.drivers.script.protocol import Ability

EXAMPLE = Path(__file__).parents[2] / "docs/drivers/script/example.py"
BEFORE = Path(__file__).with_name("script_faults.py")
TOO_LATE = (Fault.LOST, Fault.TIMEOUT)
REFUSED = (Fault.RATE_LIMITED, Fault.UNAVAILABLE, Fault.LOCKED, Fault.DENIED, Fault.GARBLED)


class ScriptRig(Rig):
    platform = "platform"
    image = "debian"
    powers = frozenset(Power)
    faults = (
        every((Act.CREATE,), (*TOO_LATE, *REFUSED, Fault.SOLD_OUT))
        | every((Act.INSPECT, Act.LIST), (Fault.TIMEOUT, *REFUSED))
        | every((Act.DESTROY,), (*TOO_LATE, *REFUSED))
        | every((Act.STOP,), (Fault.LOST, Fault.UNAVAILABLE, Fault.LOCKED))
        | every((Act.RESET,), (Fault.LOST,))
    )

    hangs = True  # how a call whose answer never comes ends: by the time limit, or by its own death

    def __init__(self, folder: Path) -> None:
        self.cloud = folder / "cloud"
        self.cloud.mkdir()
        self._order = folder / "order.json"
        self._ports = itertools.count(20_000)

    def driver(self, platform: str = "", *, spoiled: bool = False, **given: object) -> ScriptDriver:
        """Return a driver whose next call goes wrong if one was told to; with `spoiled` also one told later."""
        fault = json.loads(self._order.read_text())["fault"] if self._order.exists() else ""
        before = [sys.executable, "-IS", str(BEFORE), str(self._order)]
        command = [sys.executable, "-IS", str(EXAMPLE)]
        if spoiled:
            order, spoils = shlex.quote(str(self._order)), shlex.join([*before, *command])
            text = f"[ -e {order} ] && exec {spoils}; exec {shlex.join(command)}"
            command = ["/bin/sh", "-c", text]
        settings = {
            "command": [*before, *command] if fault else command,
            "abilities": [each.value for each in Ability],
            "config": {"folder": str(self.cloud), "images": ["debian"]},
            "timeout_s": 1 if fault in TOO_LATE else 20,
            **given,
        }
        return ScriptDriver.from_settings(settings, platform or self.platform)

    def next_port(self) -> int:
        return next(self._ports)

    def wait(self, seconds: float) -> None:
        time.sleep(min(seconds, 0.01))

    def inject(self, act: Act, fault: Fault) -> None:
        verb = "reset_password" if act is Act.RESET else act.value
        order = {"verb": verb, "fault": fault, "hangs": self.hangs}
        self._order.write_text(json.dumps(order))

    def machines(self) -> list[dict[str, Any]]:
        found = []
        for each in self.cloud.glob("*.json"):
            with contextlib.suppress(FileNotFoundError):  # removed just now
                found.append(json.loads(each.read_text()))
        return found

    def count(self, contract: str) -> int:
        return sum(each.get("contract") == contract for each in self.machines())

    def add_foreign(self, name: str) -> None:
        machine = {"name": name, "state": "running", "host": "h", "port": 1, "created_at_ms": 1}
        (self.cloud / f"{name}.json").write_text(json.dumps(machine))

    def has_foreign(self, name: str) -> bool:
        return any(each["name"] == name and "contract" not in each for each in self.machines())

    def vanish(self, contract: str) -> None:
        (self.cloud / f"dc-{contract}.json").unlink()

    def seen_host_key(self, seen: Observation) -> str:
        (machine,) = (each for each in self.machines() if each["port"] == seen.port)
        return str(machine["host_key_public"])

    def takes_password(self, seen: Observation, user: str, password: Secret) -> bool:
        (machine,) = (each for each in self.machines() if each["port"] == seen.port)
        salt, _, digest = str(machine["password"]).partition("$")
        return hashlib.sha256((salt + password.reveal()).encode()).hexdigest() == digest
