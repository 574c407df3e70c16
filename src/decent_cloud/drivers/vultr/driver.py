"""The Vultr driver: the contract's verbs over the cloud instances of one account."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Self

from decent_cloud.drivers.contract import (
    Broken,
    Check,
    Description,
    DriverError,
    Handle,
    InstanceSpec,
    NoCapacity,
    Observation,
    Plan,
    Probe,
    Rejected,
    Traffic,
    TryLater,
)
from decent_cloud.drivers.parts.cloud_init import user_data
from decent_cloud.drivers.parts.create_gate import CreateGate
from decent_cloud.drivers.parts.rate_budget import RateBudget
from decent_cloud.drivers.parts.size_choice import plan_check
from decent_cloud.drivers.parts.token_file import read_token
from decent_cloud.drivers.parts.vendor_password import own_password_last
from decent_cloud.drivers.vultr import mapping, trials
from decent_cloud.drivers.vultr.api import Record, VultrApi
from decent_cloud.drivers.vultr.catalogue import Catalogue
from decent_cloud.drivers.vultr.settings import VultrSettings, read_settings
from decent_cloud.kernel.clock import MINUTE_MS, Clock, SystemClock, parse_rfc3339
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import Observed

VERSION = "1"
_CATALOGUE_LASTS_MS = 10 * MINUTE_MS


class VultrDriver:
    """The contract over an account; also stops, meters and checks plans."""

    def __init__(
        self,
        settings: VultrSettings,
        platform: str,
        clock: Clock | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._platform = platform
        self._clock = clock or SystemClock()
        self._budget = RateBudget(per_s=settings.calls_per_s, clock=self._clock, sleep=pause)
        self._gate = CreateGate(self._clock, settings.read_lag_s)
        self._lock = threading.Lock()
        self._opened: VultrApi | None = None
        self._closed = False
        self._scope = ""
        self._read: tuple[int, Catalogue] | None = None
        self._probed: Probe | None = None

    @classmethod
    def from_settings(cls, settings: Mapping[str, object], platform: str) -> Self:
        """Build the driver without I/O; raises Invalid for a setting that is not right."""
        return cls(read_settings(settings), platform)

    def describe(self) -> Description:
        """Return what this driver is; no I/O."""
        return Description(
            mapping.DRIVER, VERSION, self._settings.api, "virtual machine of its own"
        )

    def probe(self) -> Probe:
        """Try key, rights and catalogue, once per process unless it failed; makes nothing."""
        probed = self._probed
        if probed is None or not probed.passed or not self._is_same(probed.scope):
            self._probed = probed = trials.run(
                lambda: self._api, self._catalogue_now, self._settings
            )
        return probed

    def scope(self) -> str:
        """Read the account's fingerprint, a digest of the mail address of the key's login."""
        self._scope = mapping.fingerprint(self._api.account())
        return self._scope

    def create(self, spec: InstanceSpec) -> Observation:
        """Order the instance, or return the one that this contract already has here.

        Labels and tags are not unique: all instances are read before every order, and an order whose
        answer was lost is not repeated within `read_lag_s`. Of two, the oldest is returned and its
        detail names the others. Regions are tried in order while one is sold out.
        """
        with self._gate.making(spec.contract):
            found = self._find(spec)
            if found:
                return self._observe_first(found)
            last = own_password_last(spec)
            data = user_data(spec, limit_bytes=mapping.USER_DATA_LIMIT_BYTES, extra=last)
            choice = self._catalogue().choose(_plan_of(spec), self._settings)
            self._known_scope()
            bodies = [
                mapping.create_body(
                    spec,
                    plan=choice.plan,
                    os_id=choice.os_id,
                    region=region,
                    user_data=data,
                    ipv6=self._settings.ipv6,
                )
                for region in choice.regions
            ]
            with self._gate.ordering(spec.contract):
                return self._observe(self._order(bodies))

    def inspect(self, handle: Handle, contract: ContractId) -> Observation:
        """Read one instance by its id."""
        instance = self._api.instance(handle.data["id"])
        if instance is None:
            return self._gone(handle, contract)
        if not mapping.is_ours(instance, self._platform, contract):
            raise Broken(
                f"the instance {instance['id']} has lost its tags", instance=instance["id"]
            )
        return self._observe(instance)

    def destroy(self, handle: Handle, contract: ContractId) -> Observation:
        """Delete the instance, this one only; ABSENT once a read by id and the list say so."""
        instance = self._ours(handle, contract)
        if instance is not None:
            number = str(instance["id"])
            self._api.delete(number)
            instance = self._api.instance(number)
        if instance is None:
            return self._gone(handle, contract)
        return replace(self._observe(instance), state=Observed.DELETING)

    def list_owned(self, contract: ContractId | None = None) -> tuple[Observation, ...]:
        """List this platform's instances, all pages, those that are off too, oldest first."""
        found = [
            each
            for each in self._api.instances()
            if mapping.is_ours(each, self._platform, contract or "")
        ]
        scope = self._known_scope() if found else ""
        return tuple(mapping.observe(each, scope) for each in mapping.oldest_first(found))

    def stop(self, handle: Handle, contract: ContractId) -> Observation:
        """Cut the instance's power: Vultr knows no clean shutdown. Repeat until it is STOPPED."""
        return self._switch(handle, contract, on=False)

    def start(self, handle: Handle, contract: ContractId) -> Observation:
        """Switch the instance on. Repeat until it is RUNNING."""
        return self._switch(handle, contract, on=True)

    def meter(self, handle: Handle, contract: ContractId) -> Traffic:
        """Read the instance's traffic since its creation, or as far back as Vultr keeps its days."""
        instance = self._ours(handle, contract)
        days = None if instance is None else self._api.bandwidth(str(instance["id"]))
        if instance is None or days is None:
            raise Rejected("the instance is gone")
        made_ms = parse_rfc3339(str(instance["date_created"]))
        try:
            first_ms = min((parse_rfc3339(f"{day}T00:00:00Z") for day in days), default=0)
            received = sum(int(each["incoming_bytes"]) for each in days.values())
            sent = sum(int(each["outgoing_bytes"]) for each in days.values())
        except (KeyError, TypeError, ValueError) as error:
            raise Broken("the answer to bandwidth makes no sense") from error
        return Traffic(received, sent, max(made_ms, first_ms))

    def check_plan(self, plan: Plan) -> tuple[Check, ...]:
        """Compare an offering with the live catalogue."""
        catalogue = self._catalogue_now()
        try:
            choice = catalogue.choose(plan, self._settings)
        except (NoCapacity, Rejected) as error:
            return (plan_check("", error),)
        places = ", ".join(choice.regions)
        return (plan_check(f"{choice.plan} with {choice.system} in {places}", None),)

    def close(self) -> None:
        """Release connections; later calls are TryLater."""
        with self._lock:
            self._closed = True
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    @property
    def _api(self) -> VultrApi:
        with self._lock:
            if self._closed:
                raise TryLater("the driver is closed")
            if self._opened is None:
                token = read_token(self._settings.token_file)
                self._opened = VultrApi(
                    self._settings.api, token, self._settings.timeout_s, self._budget
                )
            return self._opened

    def _known_scope(self) -> str:
        """Return the fingerprint; a key belongs to one account for good, so one read does."""
        return self._scope or self.scope()

    def _is_same(self, known: str) -> bool:
        try:
            return self.scope() == known
        except DriverError:
            return False

    def _find(self, spec: InstanceSpec) -> list[Record]:
        """Find the contract's instances by tag or label; those of others with our label are refused."""
        tag = mapping.contract_tag(spec.contract)
        found = [
            each
            for each in self._api.instances()
            if each["label"] == spec.name or tag in (each.get("tags") or ())
        ]
        ours = [each for each in found if mapping.is_ours(each, self._platform, spec.contract)]
        if found and not ours:
            raise Rejected(
                f"an instance labelled {found[0]['label']} is not ours", instance=found[0]["id"]
            )
        return ours

    def _order(self, bodies: list[Record]) -> Record:
        """Order in the first region that has one."""
        sold_out: NoCapacity | None = None
        for body in bodies:
            try:
                return self._api.order(body)
            except NoCapacity as error:
                sold_out = error
        raise sold_out or NoCapacity("no region to order in")

    def _observe_first(self, found: list[Record]) -> Observation:
        first, *others = mapping.oldest_first(found)
        seen = self._observe(first)
        if not others:
            return seen
        more = ", ".join(str(each["id"]) for each in others)
        return replace(seen, detail=f"this contract has more than one instance: also {more}")

    def _observe(self, instance: Record) -> Observation:
        return mapping.observe(instance, self._known_scope())

    def _switch(self, handle: Handle, contract: ContractId, *, on: bool) -> Observation:
        instance = self._ours(handle, contract)
        if instance is not None and mapping.is_on(instance) is not on:
            if mapping.is_busy(instance):
                raise TryLater(f"the instance {instance['id']} is busy: {instance['status']}")
            self._api.switch(str(instance["id"]), on=on)
            instance = self._api.instance(str(instance["id"]))
        return self._gone(handle, contract) if instance is None else self._observe(instance)

    def _gone(self, handle: Handle, contract: ContractId) -> Observation:
        """Say ABSENT, if the list says so as well; with the fingerprint of who says it."""
        if any(each["id"] == handle.data["id"] for each in self._api.instances()):
            raise TryLater(f"the instance {handle.data['id']} is listed and cannot be read")
        return mapping.absent(contract, self.scope(), handle)

    def _ours(self, handle: Handle, contract: ContractId) -> Record | None:
        """Read an instance that something is to be done to; Rejected unless it is this contract's."""
        instance = self._api.instance(handle.data["id"])
        if instance is not None and not mapping.is_ours(instance, self._platform, contract):
            raise Rejected(
                f"the instance {instance['id']} is not this contract's", instance=instance["id"]
            )
        return instance

    def _catalogue_now(self) -> Catalogue:
        catalogue = Catalogue(
            tuple(self._api.plans()),
            tuple(self._api.systems()),
            tuple(self._api.regions()),
            self._api.in_stock,
        )
        self._read = (self._clock.now_ms(), catalogue)
        return catalogue

    def _catalogue(self) -> Catalogue:
        """Return what is on sale, at most minutes old; what is in stock is read each time."""
        read = self._read
        if read is None or self._clock.now_ms() - read[0] > _CATALOGUE_LASTS_MS:
            return self._catalogue_now()
        return read[1]


def _plan_of(spec: InstanceSpec) -> Plan:
    return Plan(spec.image, spec.cpu_milli, spec.memory_mib, spec.disk_gib, spec.settings)
