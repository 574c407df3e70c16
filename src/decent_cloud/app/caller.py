"""Who is calling a use case, and the checks that every use case makes of a caller."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from decent_cloud.domain.keys.devices import DeviceType, Rank
from decent_cloud.kernel.errors import Forbidden
from decent_cloud.kernel.ids import AccountId, Kid


class DeviceOnly(Forbidden):
    """Only a device of the account may do this, not an agent; sign with the browser's or the CLI's key."""

    code = "device_only"


class ReadOnlyDevice(Forbidden):
    """This device may only read; use a device of rank 0 or 1."""

    code = "read_only_device"


class CallerKind(StrEnum):
    """What sort of caller it is."""

    DEVICE = "device"
    AGENT = "agent"
    PUBLIC = "public"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller; an agent's account is its provider's."""

    account: AccountId
    kid: Kid
    kind: CallerKind
    rank: int
    admin: bool

    @property
    def actor(self) -> str:
        """Who acted, as histories say it."""
        return f"{self.kind.value}/{self.kid}" if self.kid else self.kind.value

    @property
    def viewer(self) -> AccountId | None:
        """As whom the caller sees things; nobody in particular if it did not sign."""
        return self.account or None


PUBLIC = Caller(AccountId(""), Kid(""), CallerKind.PUBLIC, Rank.READER, admin=False)
SYSTEM = Caller(AccountId(""), Kid(""), CallerKind.SYSTEM, Rank.RECOVERY, admin=True)


def caller_kind(device_type: str) -> CallerKind:
    """Return what a device of the chain is as a caller: type `agent` is always an agent."""
    return CallerKind.AGENT if device_type == DeviceType.AGENT else CallerKind.DEVICE


def require_reader(caller: Caller) -> AccountId:
    """Check that a device of an account calls, of any rank; return the account.

    Errors: DeviceOnly.
    """
    if caller.kind is not CallerKind.DEVICE:
        raise DeviceOnly
    return caller.account


def require_writer(caller: Caller) -> AccountId:
    """Check that a device of rank 0 or 1 calls; return the account.

    Errors: DeviceOnly, ReadOnlyDevice.
    """
    account = require_reader(caller)
    if caller.rank >= Rank.READER:
        raise ReadOnlyDevice
    return account


def require_admin(caller: Caller) -> None:
    """Check that an operator's device calls.

    Errors: DeviceOnly, ReadOnlyDevice, Forbidden.
    """
    if caller.kind is CallerKind.SYSTEM:
        return
    require_writer(caller)
    if not caller.admin:
        raise Forbidden("only an operator may do this")
