"""The journal in dictionaries, for tests."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from decent_cloud.agent.journal import AlreadyFulfilled, NoFreePort
from decent_cloud.agent.records import Alarm, Attempt, Change, Instance, Quarantined, Report, Want
from decent_cloud.domain.keys.chain import Pin
from decent_cloud.kernel.ids import AccountId, ContractId, Digest


class MemoryJournal:
    """Keeps the `Journal` port until the process ends."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._facts: dict[str, str] = {}
        self._pins: dict[AccountId, Pin] = {}
        self._wants: dict[ContractId, Want] = {}
        self._instances: dict[ContractId, Instance] = {}
        self._attempts: dict[str, Attempt] = {}
        self._reports: dict[str, Report] = {}
        self._ports: dict[int, ContractId] = {}
        self._fulfilled: dict[Digest, ContractId] = {}
        self._quarantined: dict[tuple[ContractId, str], Quarantined] = {}
        self._alarms: dict[str, Alarm] = {}

    def fact(self, name: str) -> str:
        with self._lock:
            return self._facts.get(name, "")

    def set_facts(self, facts: Mapping[str, str]) -> None:
        with self._lock:
            self._facts.update(facts)

    def pin(self, account: AccountId) -> Pin | None:
        with self._lock:
            return self._pins.get(account)

    def set_pin(self, account: AccountId, pin: Pin) -> None:
        with self._lock:
            known = self._pins.get(account)
            if known is None or known.seq < pin.seq:
                self._pins[account] = pin

    def record_desired(self, facts: Mapping[str, str], wants: Iterable[Want]) -> None:
        with self._lock:
            self._facts.update(facts)
            self._wants.update({want.contract: want for want in wants})

    def want(self, contract: ContractId) -> Want | None:
        with self._lock:
            return self._wants.get(contract)

    def wants(self) -> tuple[Want, ...]:
        with self._lock:
            return tuple(self._wants[key] for key in sorted(self._wants))

    def instance(self, contract: ContractId) -> Instance | None:
        with self._lock:
            return self._instances.get(contract)

    def instances(self) -> tuple[Instance, ...]:
        with self._lock:
            return tuple(self._instances[key] for key in sorted(self._instances))

    def commit(self, change: Change) -> None:
        contract = change.instance.contract
        with self._lock:
            digest = change.fulfils
            if digest and self._fulfilled.setdefault(digest, contract) != contract:
                raise AlreadyFulfilled
            self._instances[contract] = change.instance
            if change.attempt is not None:
                self._attempts[change.attempt.id] = change.attempt
            for report in change.reports:
                self._reports.setdefault(report.key, report)
            for key in change.acknowledged:
                self._reports.pop(key, None)
            for found in change.quarantined:
                self._quarantined.setdefault((found.contract, found.instance), found)
            if change.frees_port:
                self._free_port(contract)

    def attempt(self, attempt: str) -> Attempt | None:
        with self._lock:
            return self._attempts.get(attempt)

    def reserve_port(
        self, contract: ContractId, first: int, last: int, skip: frozenset[int]
    ) -> int:
        with self._lock:
            held = [port for port, holder in self._ports.items() if holder == contract]
            if held and first <= held[0] <= last and held[0] not in skip:
                return held[0]
            self._free_port(contract)
            for port in range(first, last + 1):
                if port not in self._ports and port not in skip:
                    self._ports[port] = contract
                    return port
        raise NoFreePort(f"all ports from {first} to {last} are taken", first=first, last=last)

    def ports(self) -> Mapping[int, ContractId]:
        with self._lock:
            return dict(sorted(self._ports.items()))

    def reports(self) -> tuple[Report, ...]:
        with self._lock:
            return tuple(self._reports.values())

    def reports_of(self, contract: ContractId) -> tuple[Report, ...]:
        with self._lock:
            return tuple(each for each in self._reports.values() if each.contract == contract)

    def keep_report(self, report: Report) -> None:
        with self._lock:
            if report.key in self._reports:
                self._reports[report.key] = report

    def quarantine(self, found: Quarantined) -> bool:
        with self._lock:
            key = (found.contract, found.instance)
            if key in self._quarantined:
                return False
            self._quarantined[key] = found
            return True

    def release(self, found: Quarantined) -> None:
        with self._lock:
            self._quarantined.pop((found.contract, found.instance), None)

    def quarantined(self) -> tuple[Quarantined, ...]:
        with self._lock:
            return tuple(self._quarantined.values())

    def raise_alarm(self, alarm: Alarm) -> bool:
        with self._lock:
            known = self._alarms.get(alarm.name)
            since_ms = known.since_ms if known else alarm.since_ms
            self._alarms[alarm.name] = Alarm(alarm.name, alarm.text, since_ms)
            return known is None

    def clear_alarm(self, name: str) -> None:
        with self._lock:
            self._alarms.pop(name, None)

    def alarms(self) -> tuple[Alarm, ...]:
        with self._lock:
            return tuple(self._alarms.values())

    def forget(self, contract: ContractId) -> None:
        with self._lock:
            self._instances.pop(contract, None)
            self._wants.pop(contract, None)
            self._attempts = {k: v for k, v in self._attempts.items() if v.contract != contract}
            self._quarantined = {k: v for k, v in self._quarantined.items() if k[0] != contract}
            self._free_port(contract)

    def close(self) -> None:
        """Nothing is held open."""

    def _free_port(self, contract: ContractId) -> None:
        self._ports = {port: held for port, held in self._ports.items() if held != contract}
