"""The manual driver and the person who does what it asks for."""

from __future__ import annotations

from pathlib import Path

from decent_cloud.drivers.conformance.rig import Act, Fault, Power, Rig, every
from decent_cloud.drivers.contract import Observation
from decent_cloud.drivers.manual.driver import ManualDriver
from decent_cloud.drivers.manual.requests import Requests, Step
from decent_cloud.kernel.clock import SystemClock

IMAGE = "debian"


class ManualRig(Rig):
    """A backend with a person who does everything at the next look."""

    platform = "platform"
    image = IMAGE
    powers = frozenset(Power) - {Power.FOREIGN, Power.PASSWORD}
    faults = every((Act.CREATE, Act.DESTROY), (Fault.SLOW,))

    def __init__(self, folder: Path) -> None:
        self.path = folder / "requests.db"
        self.requests = Requests(self.path, SystemClock())

    def driver(self, platform: str = "", **settings: object) -> ManualDriver:
        given = {"path": str(self.path), "images": [IMAGE], **settings}
        return ManualDriver.from_settings(given, platform or self.platform)

    def wait(self, seconds: float) -> None:
        for number, each in enumerate(self.requests.all()):
            if each.step is Step.ASKED:
                self.requests.complete(each.contract, f"192.0.2.{number + 1}", 22, each.host_key)
            elif each.step is Step.REMOVAL_ASKED:
                self.requests.gone(each.contract)

    def inject(self, act: Act, fault: Fault) -> None:
        """People are always slow."""

    def count(self, contract: str) -> int:
        ended = {Step.GONE, Step.FAILED}
        return sum(e.contract == contract and e.step not in ended for e in self.requests.all())

    def vanish(self, contract: str) -> None:
        self.requests.gone(contract, lost=True)

    def seen_host_key(self, seen: Observation) -> str:
        (found,) = (each for each in self.requests.all() if each.host == seen.host)
        return found.host_key
