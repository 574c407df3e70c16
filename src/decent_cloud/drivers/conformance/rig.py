"""What the conformance kit needs beside a driver: a backend it can look at, spoil and clean."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Protocol

from decent_cloud.drivers.contract import Driver, Handle, Observation, Secret
from decent_cloud.kernel.ids import ContractId

RETRY_AFTER_S = 3  # what a rig's RATE_LIMITED tells the driver to wait


class Act(StrEnum):
    """The step of a driver that a fault hits: the call to the backend that does or reads the thing."""

    CREATE = "create"
    INSPECT = "inspect"
    LIST = "list"
    DESTROY = "destroy"
    STOP = "stop"
    START = "start"
    RESET = "reset"
    PLAN = "plan"


class Fault(StrEnum):
    """How the next such step goes wrong, once.

    `LOST` is done and its answer never comes; of all others, nothing is done, except where said.
    """

    LOST = "lost"
    RATE_LIMITED = "rate_limited"  # 429 and `Retry-After: 3`, or what the backend has like it
    UNAVAILABLE = "unavailable"  # 503, or any other 5xx
    TIMEOUT = "timeout"  # the call hangs longer than the driver waits, or breaks off
    LOCKED = "locked"  # the thing is busy with something else
    DENIED = "denied"  # our credentials or permissions do not do
    GARBLED = "garbled"  # an answer that makes no sense
    SOLD_OUT = "sold_out"  # with CREATE and PLAN
    PARTIAL = (
        "partial"  # with CREATE: a first piece (key, network, disk) is made, the machine is not
    )
    SLOW = "slow"  # done, but with CREATE the address comes later, with DESTROY the end


class Power(StrEnum):
    """What a rig can do beside its driver; tests that need more are skipped."""

    LOOK = "look"  # `count` and `pieces` read the backend itself, not through the driver
    FOREIGN = "foreign"  # `add_foreign`, `has_foreign`
    VANISH = "vanish"  # `vanish`
    HOST_KEY = "host_key"  # `seen_host_key`
    PASSWORD = "password"  # noqa: S105 - the name of a power: `takes_password`
    UNIQUE_NAMES = "unique_names"  # the backend refuses a second machine of one name
    IMAGE_LIST = "image_list"  # the backend knows which images it has and refuses others
    SECOND_PLATFORM = "second_platform"  # `driver("other")` shares the backend


class NotClaimed(AssertionError):
    """A rig claims a power or a fault whose method it does not have."""


class Rig(Protocol):
    """One backend under test; subclass it, say what it can do, and give it to the kit as `rig`.

    `faults` holds the (act, fault) pairs that `inject` knows. Everything with a body here may stay
    as it is where the rig does not claim the power.
    """

    platform: str
    image: str
    cpu_milli: int = 500
    memory_mib: int = 96
    disk_gib: int = 1
    settings: Mapping[str, str] = {}
    faults: frozenset[tuple[Act, Fault]] = frozenset()
    powers: frozenset[Power] = frozenset()
    patience: int = 100  # how many times a slow state is looked at again
    poll_s: float = 0.05  # and how long it is waited for in between

    def driver(self, platform: str = "") -> Driver:
        """Return a driver for the platform (the rig's own by default): a new one, or the same again."""
        ...

    def next_port(self) -> int:
        """Return a free port for `ssh_port`; 0 where machines have addresses of their own."""
        return 0

    def wait(self, seconds: float) -> None:
        """Let time pass: a fake's clock is moved, with a real backend the test sleeps."""
        time.sleep(seconds)

    def count(self, contract: ContractId) -> int:
        """Count the contract's machines, whatever their state."""
        return len(self.driver().list_owned(contract))

    def pieces(self, contract: ContractId) -> int:
        """Count what else at the backend was made for the contract: keys, networks, disks."""
        return 0

    def inject(self, act: Act, fault: Fault) -> None:
        """Let the next call of this kind go wrong like this."""
        raise NotClaimed("inject")

    def add_foreign(self, name: str) -> None:
        """Put in a machine of this name that carries no tag of ours."""
        raise NotClaimed("add_foreign")

    def has_foreign(self, name: str) -> bool:
        """Tell whether that machine is still there."""
        raise NotClaimed("has_foreign")

    def vanish(self, contract: ContractId) -> None:
        """Take the contract's machine away behind the driver's back."""
        raise NotClaimed("vanish")

    def seen_host_key(self, seen: Observation) -> str:
        """Return the host key ("ssh-ed25519 AAAA...") that the machine shows, empty if nobody answers."""
        raise NotClaimed("seen_host_key")

    def takes_password(self, seen: Observation, user: str, password: Secret) -> bool:
        """Tell whether the machine lets this user in with this password."""
        raise NotClaimed("takes_password")

    def handle_from_store(self, handle: Handle) -> Handle:
        """Return the handle as a restarted agent reads it from its journal."""
        return Handle(handle.driver, dict(handle.data), handle.version)


def every(acts: Iterable[Act], faults: Iterable[Fault]) -> frozenset[tuple[Act, Fault]]:
    """Return all pairs of these acts and faults."""
    return frozenset(itertools.product(acts, faults))
