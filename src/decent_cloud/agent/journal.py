"""What the agent remembers across its own death, as a port: SQLite for work, a dictionary for tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from decent_cloud.agent.records import Alarm, Attempt, Change, Instance, Quarantined, Report, Want
from decent_cloud.domain.keys.chain import Pin
from decent_cloud.kernel.errors import DecentError, Kind
from decent_cloud.kernel.ids import AccountId, ContractId


class JournalFull(DecentError):
    """The agent's journal cannot be written: its disk is full. Free space; nothing was lost."""

    code = "journal_full"
    kind = Kind.EXHAUSTED


class JournalBroken(DecentError):
    """The agent's journal cannot be read or written."""

    code = "journal_broken"


class NoFreePort(DecentError):
    """Every port of the driver's range is taken by an instance."""

    code = "no_free_port"
    kind = Kind.EXHAUSTED


class AlreadyFulfilled(DecentError):
    """An order with this digest was fulfilled under another contract."""

    code = "already_fulfilled"
    kind = Kind.CONFLICT


# Names of facts: single values, written rarely.
PLATFORM_ORIGIN = "platform_origin"
PLATFORM_ID = "platform_id"
PLATFORM_KEY = "platform_key"
PROVIDER = "provider"
POOL = "pool"
LOG_SEQ = "log_seq"
LOG_HASH = "log_hash"
SCOPE = "scope"
LAST_CONTACT_MS = "last_contact_ms"
BREAKER = "breaker"  # what is held up, or was released
BREAKER_BEGUN = "breaker_begun"  # when counted removals began lately


class Journal(Protocol):
    """Safe for several threads; each method is one durable commit. Errors: JournalFull, JournalBroken."""

    def fact(self, name: str) -> str:
        """Return a fact, empty where it is not known."""
        ...

    def set_facts(self, facts: Mapping[str, str]) -> None:
        """Write facts."""
        ...

    def pin(self, account: AccountId) -> Pin | None:
        """Return the newest link seen of an account's key chain."""
        ...

    def set_pin(self, account: AccountId, pin: Pin) -> None:
        """Remember the newest link of a key chain; an older one changes nothing."""
        ...

    def record_desired(self, facts: Mapping[str, str], wants: Iterable[Want]) -> None:
        """Write a trusted view: its log position and what it says, in one commit."""
        ...

    def want(self, contract: ContractId) -> Want | None:
        """Return the last trusted word about a contract."""
        ...

    def wants(self) -> tuple[Want, ...]:
        """Return all wants, oldest contract first."""
        ...

    def instance(self, contract: ContractId) -> Instance | None:
        """Return how far the work on a contract is."""
        ...

    def instances(self) -> tuple[Instance, ...]:
        """Return all instances, oldest contract first."""
        ...

    def commit(self, change: Change) -> None:
        """Write one step, whole or not at all.

        A report whose key is known already is kept as it was first written.
        Errors: AlreadyFulfilled.
        """
        ...

    def attempt(self, attempt: str) -> Attempt | None:
        """Return one set of sealed secrets."""
        ...

    def reserve_port(
        self, contract: ContractId, first: int, last: int, skip: frozenset[int]
    ) -> int:
        """Return the contract's port, reserving the lowest free one of first..last.

        Errors: NoFreePort.
        """
        ...

    def ports(self) -> Mapping[int, ContractId]:
        """Return the reserved ports."""
        ...

    def reports(self) -> tuple[Report, ...]:
        """Return all reports that were not acknowledged, oldest first, refused ones too."""
        ...

    def reports_of(self, contract: ContractId) -> tuple[Report, ...]:
        """Return the contract's reports that were not acknowledged, oldest first."""
        ...

    def keep_report(self, report: Report) -> None:
        """Overwrite a report that is kept: how often it was tried, or that it was refused."""
        ...

    def quarantine(self, found: Quarantined) -> bool:
        """Remember a machine that must not be used; False if it was known."""
        ...

    def release(self, found: Quarantined) -> None:
        """Forget a machine that is no longer there."""
        ...

    def quarantined(self) -> tuple[Quarantined, ...]:
        """Return all of them, oldest first."""
        ...

    def raise_alarm(self, alarm: Alarm) -> bool:
        """Remember an alarm; False if one of this name is up, whose time then stays."""
        ...

    def clear_alarm(self, name: str) -> None:
        """Take an alarm down."""
        ...

    def alarms(self) -> tuple[Alarm, ...]:
        """Return the alarms that are up, oldest first."""
        ...

    def forget(self, contract: ContractId) -> None:
        """Remove an ended contract's rows; that its order was fulfilled stays known."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...
