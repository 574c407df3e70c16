"""The DigitalOcean driver: the contract's verbs over the droplets of one account."""

from __future__ import annotations

import secrets
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
    TryLater,
)
from decent_cloud.drivers.digitalocean import mapping, trials
from decent_cloud.drivers.digitalocean.api import DigitalOceanApi
from decent_cloud.drivers.digitalocean.catalogue import Catalogue
from decent_cloud.drivers.digitalocean.settings import DigitalOceanSettings, read_settings
from decent_cloud.drivers.parts.cloud_init import DIGITALOCEAN_LIMIT_BYTES, user_data
from decent_cloud.drivers.parts.create_gate import CreateGate
from decent_cloud.drivers.parts.host_key import SEED_BYTES, make_host_key
from decent_cloud.drivers.parts.one_account import CHECKS_MS, ORDERS_MS, OneAccount
from decent_cloud.drivers.parts.ordering import beside_others, order_in_turn, plan_of
from decent_cloud.drivers.parts.rest_answers import Record
from decent_cloud.drivers.parts.size_choice import check_plan
from decent_cloud.drivers.parts.token_file import read_token
from decent_cloud.drivers.parts.vendor_password import own_password_last
from decent_cloud.kernel.clock import MINUTE_MS, Clock, SystemClock
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import Observed

VERSION = "1"
_SLOW_START_MS = 2 * MINUTE_MS  # after this, ask what failed
_TAGS_COME_MS = 2 * MINUTE_MS  # tags are put on after the droplet was made
_UNDER_WAY = "in-progress"


class DigitalOceanDriver:
    """The contract over an account; also stops, and checks plans."""

    def __init__(
        self,
        settings: DigitalOceanSettings,
        platform: str,
        clock: Clock | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._platform = platform
        self._clock = clock or SystemClock()
        self._account = OneAccount(
            lambda: DigitalOceanApi(
                settings.api,
                read_token(settings.token_file),
                settings.timeout_s,
                self._clock,
                pause,
            ),
            lambda api: mapping.fingerprint(api.account()),
            lambda api: Catalogue(tuple(api.sizes()), tuple(api.regions()), api.image),
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
        """Try token, permissions and catalogue, once per process unless it failed; makes nothing."""
        return self._account.probe(
            lambda: trials.run(lambda: self._api, self._account.catalogue, self._settings)
        )

    def scope(self) -> str:
        """Read the account's fingerprint: the uuid of the team that the token is for."""
        return self._account.scope()

    def create(self, spec: InstanceSpec) -> Observation:
        """Order the droplet, or return the one that this contract already has here.

        Names and tags are not unique: it is looked up by both before every order, and an order whose
        answer was lost is not repeated within `read_lag_s`. Of two, the oldest is returned and its
        detail names the others. Regions are tried in order while one is sold out.
        """
        with self._gate.making(spec.contract):
            found = self._find(spec)
            if found:
                return self._adopted(found)
            first_start = own_password_last(spec, mapping.FIRST_START)
            data = user_data(spec, limit_bytes=DIGITALOCEAN_LIMIT_BYTES, extra=first_start)
            choice = self._account.catalogue(ORDERS_MS).choose(plan_of(spec), self._settings)
            self._account.known_scope()
            key = self._key()
            bodies = [
                mapping.create_body(
                    spec,
                    size=choice.size,
                    image=choice.image,
                    region=region,
                    key=key,
                    user_data=data,
                    ipv6=self._settings.ipv6,
                )
                for region in choice.regions
            ]
            with self._gate.ordering(spec.contract):
                return self._observe(order_in_turn(bodies, self._api.order))

    def inspect(self, handle: Handle, contract: ContractId) -> Observation:
        """Read one droplet by its id."""
        droplet = self._api.droplet(handle.data["id"])
        if droplet is None:
            return self._gone(handle, contract)
        if not mapping.is_ours(droplet, self._platform, contract):
            raise Broken(
                f"the droplet {droplet['id']} has lost its tags, or the token lacks tag:read",
                droplet=droplet["id"],
            )
        return self._observe(droplet)

    def destroy(self, handle: Handle, contract: ContractId) -> Observation:
        """Delete the droplet, this one only; ABSENT once reads by id and by tag say so.

        A droplet that is still being made may survive its removal: it is asked for again until gone.
        """
        droplet = self._ours(handle, contract)
        if droplet is not None:
            if droplet["locked"] and droplet["status"] != "new":
                seen = self._observe(droplet)
                if seen.state is Observed.DELETING:
                    return seen
                raise TryLater(f"the droplet {droplet['id']} is locked by another action")
            self._api.delete(str(droplet["id"]))
            droplet = self._api.droplet(str(droplet["id"]))
        if droplet is None:
            return self._gone(handle, contract)
        return replace(self._observe(droplet), state=Observed.DELETING)

    def list_owned(self, contract: ContractId | None = None) -> tuple[Observation, ...]:
        """List this platform's droplets, all pages, those that are off too, oldest first."""
        tag = mapping.contract_tag(contract) if contract else mapping.platform_tag(self._platform)
        found = [
            each
            for each in self._api.tagged(tag)
            if mapping.is_ours(each, self._platform, contract or "")
        ]
        return tuple(self._observe(each) for each in mapping.oldest_first(found))

    def stop(self, handle: Handle, contract: ContractId) -> Observation:
        """Shut the droplet down; cut its power if a shutdown has ended and it still runs.

        Returns at once: repeat the call until it is STOPPED.
        """
        droplet = self._ours(handle, contract)
        if droplet is None:
            return self._gone(handle, contract)
        number = str(droplet["id"])
        if droplet["status"] == "active" and not droplet["locked"]:
            last = self._api.last_action(number) or {}
            deaf = last.get("type") == "shutdown" and last.get("status") != _UNDER_WAY
            self._api.act(number, "power_off" if deaf else "shutdown")
            droplet = self._api.droplet(number)
        return self._gone(handle, contract) if droplet is None else self._observe(droplet)

    def start(self, handle: Handle, contract: ContractId) -> Observation:
        """Switch the droplet on. Returns at once: repeat the call until it is RUNNING."""
        droplet = self._ours(handle, contract)
        if droplet is not None and droplet["status"] == "off" and not droplet["locked"]:
            self._api.act(str(droplet["id"]), "power_on")
            droplet = self._api.droplet(str(droplet["id"]))
        return self._gone(handle, contract) if droplet is None else self._observe(droplet)

    def check_plan(self, plan: Plan) -> tuple[Check, ...]:
        """Compare an offering with the live catalogue."""
        catalogue = self._account.catalogue(CHECKS_MS)
        return check_plan(
            lambda: catalogue.choose(plan, self._settings),
            lambda choice: f"{choice.size} from {choice.image} in {', '.join(choice.regions)}",
        )

    def close(self) -> None:
        """Release connections; later calls are TryLater."""
        self._account.close()

    @property
    def _api(self) -> DigitalOceanApi:
        return self._account.api

    def _key(self) -> int:
        """Return the account's key object that orders name; made where there is none yet."""
        key = self._api.key_named(mapping.KEY_NAME)
        if key is None:
            # Nobody keeps the private half: the key opens nothing.
            public = make_host_key(secrets.token_bytes(SEED_BYTES)).public
            key = self._api.create_key(mapping.KEY_NAME, f"{public} {mapping.KEY_NAME}")
        return int(key["id"])

    def _find(self, spec: InstanceSpec) -> list[Record]:
        """Find the contract's droplets by tag and by name; those of others with our name are refused."""
        found = self._api.tagged(mapping.contract_tag(spec.contract))
        known = {each["id"] for each in found}
        found += [
            each
            for each in self._api.named(spec.name)
            if each["name"] == spec.name and each["id"] not in known
        ]
        ours = [each for each in found if mapping.is_ours(each, self._platform, spec.contract)]
        if ours or not found:
            return ours
        age_ms = self._clock.now_ms() - max(
            mapping.observe(each, "").created_at_ms for each in found
        )
        if abs(age_ms) < _TAGS_COME_MS and not any(map(mapping.tags_of, found)):
            raise TryLater(f"the droplet {found[0]['id']} has our name and no tags yet")
        raise Rejected(f"a droplet called {found[0]['name']} is not ours", droplet=found[0]["id"])

    def _adopted(self, found: list[Record]) -> Observation:
        """Take the oldest of the contract's droplets; one that goes or never came up is not taken."""
        first, *others = mapping.oldest_first(found)
        seen = self._observe(first)
        if seen.state is Observed.DELETING:
            raise TryLater(f"the droplet {first['id']} is still being removed")
        if first["status"] == "new" and self._failed(first):
            self._api.delete(str(first["id"]))
            raise TryLater(f"the making of the droplet {first['id']} failed; it is removed first")
        return beside_others(seen, "droplet", (each["id"] for each in others))

    def _observe(self, droplet: Record) -> Observation:
        """Read a droplet; its actions too where it is locked, or takes long to come up."""
        seen = mapping.observe(droplet, self._account.known_scope())
        if droplet["status"] == "new":
            slow = self._clock.now_ms() - seen.created_at_ms > _SLOW_START_MS
            failed = self._failed(droplet) if slow else ""
            return replace(seen, detail=failed) if failed else seen
        if droplet["locked"]:
            last = self._api.last_action(str(droplet["id"])) or {}
            if last.get("type") == "destroy" and last.get("status") == _UNDER_WAY:
                return replace(seen, state=Observed.DELETING)
        return seen

    def _failed(self, droplet: Record) -> str:
        """Say what went wrong with a droplet's last action, empty if nothing."""
        last = self._api.last_action(str(droplet["id"])) or {}
        return f"{last['type']} failed at DigitalOcean" if last.get("status") == "errored" else ""

    def _gone(self, handle: Handle, contract: ContractId) -> Observation:
        """Say ABSENT, if the list by tag says so as well; with the fingerprint of who says it."""
        listed = self._api.tagged(mapping.contract_tag(contract))
        if any(str(each["id"]) == handle.data["id"] for each in listed):
            raise TryLater(f"the droplet {handle.data['id']} is listed and cannot be read")
        return mapping.absent(contract, self.scope(), handle)

    def _ours(self, handle: Handle, contract: ContractId) -> Record | None:
        """Read a droplet that something is to be done to; Rejected unless it is this contract's."""
        droplet = self._api.droplet(handle.data["id"])
        if droplet is not None and not mapping.is_ours(droplet, self._platform, contract):
            raise Rejected(
                f"the droplet {droplet['id']} is not this contract's", droplet=droplet["id"]
            )
        return droplet
