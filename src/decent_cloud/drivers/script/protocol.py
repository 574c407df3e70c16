"""What the script driver and a script say to each other, version 1: one JSON object each way.

docs/drivers/script/README.md explains it for people who write scripts.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import msgspec

from decent_cloud.drivers.contract import (
    AuthFailed,
    Broken,
    Check,
    DriverError,
    InstanceSpec,
    Limit,
    NoCapacity,
    Plan,
    Rejected,
    TryLater,
)
from decent_cloud.drivers.parts.host_key import openssh_private
from decent_cloud.drivers.parts.password_hash import hash_password
from decent_cloud.kernel.status import Observed

PROTOCOL = 1

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class Verb(StrEnum):
    """What a script is asked to do."""

    PROBE = "probe"
    SCOPE = "scope"
    CREATE = "create"
    INSPECT = "inspect"
    DESTROY = "destroy"
    LIST = "list"
    STOP = "stop"
    START = "start"
    RESET_PASSWORD = "reset_password"  # noqa: S105 - the name of a verb
    METER = "meter"
    CHECK_PLAN = "check_plan"


class Ability(StrEnum):
    """Groups of verbs that a script may offer."""

    STOP = "stop"  # stop and start
    RESET_PASSWORD = "reset_password"  # noqa: S105 - the name of an ability
    METER = "meter"
    CHECK_PLAN = "check_plan"


class Refusal(StrEnum):
    """The five errors, by the word and the exit code of a script."""

    REJECTED = "rejected"
    NO_CAPACITY = "no_capacity"
    AUTH_FAILED = "auth_failed"
    TRY_LATER = "try_later"
    BROKEN = "broken"


EXIT_CODES = {
    10: Refusal.REJECTED,
    11: Refusal.NO_CAPACITY,
    12: Refusal.AUTH_FAILED,
    13: Refusal.TRY_LATER,
    14: Refusal.BROKEN,
}


class Machine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One machine as a script shows it, with the tags that it carries at the backend."""

    platform: str
    contract: str
    state: Observed
    attempt: str = ""
    handle: dict[str, str] = {}
    host: str = ""
    port: Port = 0
    created_at_ms: Count = 0
    detail: str = ""


class Refused(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An error that a script reports; `port` where that port was taken."""

    kind: Refusal
    message: Text
    after_s: Annotated[int, msgspec.Meta(ge=1, le=3_600)] = 5
    port: Port | None = None


class Metered(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A machine's traffic since it was made."""

    received_bytes: Count
    sent_bytes: Count
    since_ms: Count


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a script prints: `error`, or what its verb asks for.

    `machine` null says that the backend has none; `scope` is the backend's fingerprint, read in the
    same pass. `password` only from a backend that chooses the new one itself.
    """

    protocol: int
    scope: str = ""
    machine: Machine | None = None
    machines: tuple[Machine, ...] | None = None
    limits: frozenset[Limit] = frozenset()
    checks: tuple[Check, ...] | None = None
    traffic: Metered | None = None
    password: str | None = None
    error: Refused | None = None


def spec_request(spec: InstanceSpec) -> dict[str, Any]:
    """Return what `create` hands to a script; it holds secrets."""
    return {
        "platform": spec.platform,
        "contract": spec.contract,
        "attempt": spec.attempt,
        "name": spec.name,
        "hostname": spec.hostname,
        "image": spec.image,
        "cpu_milli": spec.cpu_milli,
        "memory_mib": spec.memory_mib,
        "disk_gib": spec.disk_gib,
        "user": spec.user,
        "ssh_port": spec.ssh_port,
        "ssh_keys": [key.line() for key in spec.ssh_keys],
        "management_key": spec.management_key.line() if spec.management_key else "",
        "host_key_public": spec.host_key.public,
        "host_key_private": openssh_private(spec.host_key).decode(),
        "host_key_seed_hex": spec.host_key.seed_hex.reveal(),
        "password": spec.password.reveal(),
        "password_hash": hash_password(spec.password.reveal()),
        "user_data": spec.user_data,
        "settings": dict(spec.settings),
    }


def plan_request(plan: Plan) -> dict[str, Any]:
    """Return what `check_plan` hands to a script."""
    return {
        "image": plan.image,
        "cpu_milli": plan.cpu_milli,
        "memory_mib": plan.memory_mib,
        "disk_gib": plan.disk_gib,
        "settings": dict(plan.settings),
    }


def error_of(refused: Refused) -> DriverError:
    """Return the error of the contract that a script reported."""
    details = {"port": refused.port} if refused.port is not None else {}
    if refused.kind is Refusal.TRY_LATER:
        return TryLater(refused.message, after_s=refused.after_s)
    kinds: dict[Refusal, type[DriverError]] = {
        Refusal.REJECTED: Rejected,
        Refusal.NO_CAPACITY: NoCapacity,
        Refusal.AUTH_FAILED: AuthFailed,
        Refusal.BROKEN: Broken,
    }
    return kinds[refused.kind](refused.message, **details)
