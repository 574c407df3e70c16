"""Machines and plans for tests of drivers, and patience with backends that take their time."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import TypeVar

from decent_cloud.drivers.conformance.rig import Rig
from decent_cloud.drivers.contract import (
    Driver,
    Handle,
    HostKey,
    InstanceSpec,
    Observation,
    Plan,
    Secret,
    SshKey,
    TryLater,
)
from decent_cloud.drivers.parts.host_key import SEED_BYTES, make_host_key
from decent_cloud.kernel.ids import ContractId, RandomIds
from decent_cloud.kernel.status import Observed

T = TypeVar("T")

TENANT_KEY = SshKey.parse(
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJFqUUlyyUJy4UElTeP4S5W5qiGVrcN2KMQTP8AYPHfS"
)
SSH_PORT = 22


def new_contract() -> ContractId:
    """Return the id of a contract that nobody has."""
    return ContractId(RandomIds().new("c", secrets.randbits(40)))


def new_host_key() -> HostKey:
    """Return a host key of its own for a machine."""
    return make_host_key(secrets.token_bytes(SEED_BYTES))


def new_password() -> Secret:
    """Return a password that nobody has."""
    return Secret(secrets.token_urlsafe(16))


def new_spec(rig: Rig, contract: ContractId | None = None, **changes: object) -> InstanceSpec:
    """Return the spec of a small machine on this rig, with `changes` to its fields."""
    contract = contract or new_contract()
    fields: Mapping[str, object] = {
        "platform": rig.platform,
        "contract": contract,
        "attempt": "first",
        "name": f"dc-{contract}",
        "image": rig.image,
        "cpu_milli": rig.cpu_milli,
        "memory_mib": rig.memory_mib,
        "disk_gib": rig.disk_gib,
        "ssh_keys": (TENANT_KEY,),
        "host_key": new_host_key(),
        "password": new_password(),
        "ssh_port": rig.next_port(),
        "settings": dict(rig.settings),
        **changes,
    }
    return InstanceSpec(**fields)  # type: ignore[arg-type]


def new_plan(rig: Rig, **changes: object) -> Plan:
    """Return the plan of the same machine, with `changes` to its fields."""
    fields: Mapping[str, object] = {
        "image": rig.image,
        "cpu_milli": rig.cpu_milli,
        "memory_mib": rig.memory_mib,
        "disk_gib": rig.disk_gib,
        "settings": dict(rig.settings),
        **changes,
    }
    return Plan(**fields)  # type: ignore[arg-type]


def handle_of(seen: Observation) -> Handle:
    """Return the handle that an observation must have."""
    assert seen.handle is not None, seen
    return seen.handle


def patiently(rig: Rig, act: Callable[[], T]) -> T:
    """Do as the agent does: try again after as long as TryLater says."""
    for _ in range(rig.patience):
        try:
            return act()
        except TryLater as error:
            rig.wait(error.after_s)
    raise AssertionError(f"still to be tried later after {rig.patience} times")


def until(rig: Rig, read: Callable[[], Observation], state: Observed) -> Observation:
    """Read until the state is there, as long as the rig has patience."""
    seen = patiently(rig, read)
    for _ in range(rig.patience):
        if seen.state is state:
            return seen
        rig.wait(rig.poll_s)
        seen = patiently(rig, read)
    raise AssertionError(f"not {state} after {rig.patience} looks: {seen}")


def settled(
    rig: Rig, driver: Driver, first: Observation, state: Observed = Observed.RUNNING
) -> Observation:
    """Read the machine of an observation until it is in the state."""
    if first.state is state:
        return first
    handle = handle_of(first)
    return until(rig, lambda: driver.inspect(handle, first.contract), state)


def running(rig: Rig, driver: Driver, spec: InstanceSpec) -> Observation:
    """Create a machine and wait until it runs."""
    return settled(rig, driver, driver.create(spec))


def removed(rig: Rig, driver: Driver, seen: Observation) -> Observation:
    """Destroy a machine and wait until the backend says that it is gone."""
    handle = handle_of(seen)
    return until(rig, lambda: driver.destroy(handle, seen.contract), Observed.ABSENT)
