"""The Vultr driver: the contract's verbs over the cloud instances of one account."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Self

from decent_cloud.drivers.contract import (
    Broken,
    Check,
    Description,
    Handle,
    InstanceSpec,
    Observation,
    Plan,
    Probe,
    Rejected,
    Traffic,
    TryLater,
)
from decent_cloud.drivers.parts.cloud_init import user_data
from decent_cloud.drivers.parts.create_gate import CreateGate
from decent_cloud.drivers.parts.one_account import CHECKS_MS, ORDERS_MS, OneAccount
from decent_cloud.drivers.parts.ordering import beside_others, order_in_turn, plan_of
from decent_cloud.drivers.parts.rate_budget import RateBudget
from decent_cloud.drivers.parts.rest_answers import Record
from decent_cloud.drivers.parts.size_choice import check_plan
from decent_cloud.drivers.parts.token_file import read_token
from decent_cloud.drivers.parts.vendor_password import own_password_last
from decent_cloud.drivers.vultr import mapping, trials
from decent_cloud.drivers.vultr.api import VultrApi
from decent_cloud.drivers.vultr.catalogue import Catalogue
from decent_cloud.drivers.vultr.settings import VultrSettings, read_settings
from decent_cloud.kernel.clock import Clock, SystemClock, parse_rfc3339
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import Observed

VERSION = "1"


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
        self._account = OneAccount(
            lambda: VultrApi(
                settings.api, read_token(settings.token_file), settings.timeout_s, self._budget
            ),
            lambda api: mapping.fingerprint(api.account()),
            lambda api: Catalogue(
                tuple(api.plans()), tuple(api.systems()), tuple(api.regions()), api.in_stock
            ),
            self._clock,
        )
        self._gate = CreateGate(self._clock, settings.read_lag_s)

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
        return self._account.probe(
            lambda: trials.run(lambda: self._api, self._account.catalogue, self._settings)
        )

    def scope(self) -> str:
        """Read the account's fingerprint, a digest of the mail address of the key's login."""
        return self._account.scope()

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
            choice = self._account.catalogue(ORDERS_MS).choose(plan_of(spec), self._settings)
            self._account.known_scope()
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
                return self._observe(order_in_turn(bodies, self._api.order))

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
        scope = self._account.known_scope() if found else ""
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
        catalogue = self._account.catalogue(CHECKS_MS)
        return check_plan(
            lambda: catalogue.choose(plan, self._settings),
            lambda choice: f"{choice.plan} with {choice.system} in {', '.join(choice.regions)}",
        )

    def close(self) -> None:
        """Release connections; later calls are TryLater."""
        self._account.close()

    @property
    def _api(self) -> VultrApi:
        return self._account.api

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

    def _observe_first(self, found: list[Record]) -> Observation:
        first, *others = mapping.oldest_first(found)
        seen = self._observe(first)
        return beside_others(seen, "instance", (each["id"] for each in others))

    def _observe(self, instance: Record) -> Observation:
        return mapping.observe(instance, self._account.known_scope())

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
