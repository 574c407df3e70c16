"""What the rigs of token-and-JSON clouds share: drivers by token file, faults on the fake, time, first-start data."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from decent_cloud.drivers.conformance.rig import Act, Fault, Power, Rig, every
from decent_cloud.drivers.contract import Driver, Observation, Secret
from decent_cloud.drivers.parts.password_hash import hash_password
from decent_cloud.kernel.clock import SECOND_MS
from tests.support.clouds.server import Answer, Cloud

PATIENT_S = 20.0  # a busy host is no fault
TIMEOUT_S = 0.4  # of drivers built after a call was made to hang
_READ_FAULTS = (
    Fault.RATE_LIMITED,
    Fault.UNAVAILABLE,
    Fault.TIMEOUT,
    Fault.LOCKED,
    Fault.DENIED,
    Fault.GARBLED,
)


class CloudRig(Rig):
    """A subclass names the calls of each act, the answers of each fault, and its settings."""

    platform = "5e" * 32  # as long as platforms' ids are: longer than many a tag may be
    image = "debian-12"
    cpu_milli = 2_000
    memory_mib = 4_096
    disk_gib = 40
    powers = frozenset(Power) - {Power.UNIQUE_NAMES}
    faults = (
        every((Act.CREATE,), set(Fault) - {Fault.PARTIAL})
        | every((Act.INSPECT, Act.LIST, Act.DESTROY), _READ_FAULTS)
        | every((Act.DESTROY,), (Fault.LOST, Fault.SLOW))
        | every((Act.STOP,), (Fault.LOST, Fault.UNAVAILABLE, Fault.LOCKED))
        | {(Act.PLAN, Fault.SOLD_OUT)}
    )
    calls: ClassVar[Mapping[Act, tuple[str, str]]]
    refusals: ClassVar[Mapping[Fault, Answer]]
    token: ClassVar[str]
    build: ClassVar[Callable[..., Driver]]
    read: ClassVar[Callable[[Mapping[str, object]], Any]]
    places: ClassVar[tuple[str, ...]]  # where orders may go: each is sold out by the fault

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self._cloud = cloud
        self._drivers: list[Driver] = []
        self._folder = folder
        self._timeout_s = PATIENT_S

    def usual_settings(self) -> dict[str, object]:
        """Return the settings beside token and time limit."""
        raise NotImplementedError

    def first_start_data(self, seen: Observation) -> str:
        """Return the user data that a machine got, as it reads it."""
        raise NotImplementedError

    def driver_with(self, token: str, platform: str = "", **settings: object) -> Driver:
        made = type(self).build(
            self.driver_settings(token, **settings),
            platform or self.platform,
            self._cloud.clock,
            self.wait,
        )
        self._drivers.append(made)
        return made

    def driver_settings(self, token: str = "", **changed: object) -> Any:
        """Return the driver's settings with a token in a file of its own."""
        path = self._folder / f"token-{len(self._drivers)}"
        path.touch(0o600)
        path.write_text(f"{token or self.token}\n")
        wanted = {
            "token_file": str(path),
            "timeout_s": self._timeout_s,
            **self.usual_settings(),
            **changed,
        }
        return type(self).read(wanted)

    def wait(self, seconds: float) -> None:
        self._cloud.clock.advance(round(seconds * SECOND_MS))

    def slow(self, act: Act) -> None:
        """Let the address, or the end, come late."""
        raise NotImplementedError

    def sell_out(self) -> None:
        """Let nothing be left anywhere."""
        raise NotImplementedError

    def inject(self, act: Act, fault: Fault) -> None:
        if act is Act.PLAN:
            self.sell_out()
            return
        method, path = self.calls[act]
        if fault is Fault.LOST:
            self._cloud.lose_answer(method, path)
        elif fault is Fault.TIMEOUT:
            self._timeout_s = TIMEOUT_S
            self._cloud.be_late(method, path, 2 * TIMEOUT_S, undone=True)
        elif fault is Fault.GARBLED:
            garbled = Answer(200, {"hello": "world"}, judged=False)
            self._cloud.fail(method, path, garbled)
        elif fault is Fault.SLOW:
            self.slow(act)
        else:
            every_place = (act, fault) == (Act.CREATE, Fault.SOLD_OUT)
            times = len(self.places) if every_place else 1
            self._cloud.fail(method, path, self.refusals[fault], times=times)

    def seen_host_key(self, seen: Observation) -> str:
        return str(self.config(seen)["ssh_keys"]["ed25519_public"])

    def takes_password(self, seen: Observation, user: str, password: Secret) -> bool:
        (first,) = self.config(seen)["chpasswd"]["users"]
        salt = first["password"].split("$")[2]
        return bool(
            first["name"] == user and first["password"] == hash_password(password.reveal(), salt)
        )

    def config(self, seen: Observation) -> dict[str, Any]:
        """Return the cloud-config that a machine got."""
        text = self.first_start_data(seen)
        read: dict[str, Any] = json.loads(text.removeprefix("#cloud-config"))
        return read

    def close(self) -> None:
        for each in self._drivers:
            each.close()
