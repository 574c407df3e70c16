"""The Hetzner Cloud driver: the contract's verbs over one project."""

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
    Secret,
    Traffic,
    TryLater,
)
from decent_cloud.drivers.hetzner import mapping, trials
from decent_cloud.drivers.hetzner.api import HetznerApi, failure
from decent_cloud.drivers.hetzner.catalogue import Catalogue, Choice
from decent_cloud.drivers.hetzner.settings import HetznerSettings, read_settings
from decent_cloud.drivers.parts.cloud_init import HETZNER_LIMIT_BYTES, user_data
from decent_cloud.drivers.parts.host_key import SEED_BYTES, make_host_key
from decent_cloud.drivers.parts.one_account import CHECKS_MS, ORDERS_MS, OneAccount
from decent_cloud.drivers.parts.ordering import order_in_turn, plan_of
from decent_cloud.drivers.parts.rest_answers import Record
from decent_cloud.drivers.parts.size_choice import check_plan
from decent_cloud.drivers.parts.token_file import read_token
from decent_cloud.kernel.clock import MINUTE_MS, Clock, SystemClock
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import Observed

VERSION = "1"
_SLOW_START_MS = 2 * MINUTE_MS  # after this, ask what failed
_POLL_S = 1.0


class HetznerDriver:
    """The contract over a project; also stops, resets root's password, meters and checks plans."""

    def __init__(
        self,
        settings: HetznerSettings,
        platform: str,
        clock: Clock | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._platform = platform
        self._clock = clock or SystemClock()
        self._pause = pause
        self._account = OneAccount(
            lambda: HetznerApi(
                settings.api,
                read_token(settings.token_file),
                settings.timeout_s,
                self._clock,
                pause,
            ),
            _fingerprint,
            _read_catalogue,
            self._clock,
        )

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
        """Try token, permission and catalogue, once per process unless it failed; orders nothing."""
        return self._account.probe(
            lambda: trials.run(
                self.scope, lambda: self._api, self._account.catalogue, self._settings
            )
        )

    def scope(self) -> str:
        """Read the project's mark, a labelled SSH key object; make it where there is none yet."""
        return self._account.scope()

    def create(self, spec: InstanceSpec) -> Observation:
        """Order the server, or return the one that this contract already has here.

        The name is unique in the project, so that an order whose answer was lost is found by the
        next and never made twice. Locations are tried in order while one is sold out.
        """
        found = self._api.server_named(spec.name)
        if found is None:
            extra = mapping.FIRST_START
            data = user_data(spec, limit_bytes=HETZNER_LIMIT_BYTES, extra=extra)
            choice = self._account.catalogue(ORDERS_MS).choose(plan_of(spec), self._settings)
            self.scope()  # the order names the mark
            found = self._order(spec, choice, data)
        if found is None:  # taken since we looked
            found = self._api.server_named(spec.name)
        if found is None:
            raise TryLater(f"the name {spec.name} is taken and not there yet")
        if not mapping.is_ours(found, self._platform, spec.contract):
            raise Rejected(f"a server called {spec.name} is not ours", server=found["id"])
        self._refuse_wreck(found)
        return self._observe(found)

    def inspect(self, handle: Handle, contract: ContractId) -> Observation:
        """Read one server by its id."""
        server = self._api.server(handle.data["id"])
        if server is None:
            return mapping.absent(contract, self.scope(), handle)
        if not mapping.is_ours(server, self._platform, contract):
            raise Broken(f"the server {server['id']} has lost its labels", server=server["id"])
        return self._observe(server)

    def destroy(self, handle: Handle, contract: ContractId) -> Observation:
        """Delete the server; ABSENT once a read says so. Its addresses go with it."""
        server = self._ours(handle, contract)
        if server is not None and server["status"] != "deleting":
            self._api.delete_server(str(server["id"]))
            server = self._api.server(str(server["id"]))
        if server is None:
            return mapping.absent(contract, self.scope(), handle)
        return replace(self._observe(server), state=Observed.DELETING)

    def list_owned(self, contract: ContractId | None = None) -> tuple[Observation, ...]:
        """List this platform's servers, all pages, those that are off too."""
        found = self._api.servers(mapping.selector(self._platform, contract or ""))
        scope = self._account.known_scope() if found else ""
        return tuple(mapping.observe(each, scope) for each in found)

    def stop(self, handle: Handle, contract: ContractId) -> Observation:
        """Shut the server down; cut its power if it takes longer than `shutdown_wait_s`."""
        server = self._ours(handle, contract)
        for verb in ("shutdown", "poweroff"):
            if server is None or server["status"] == "off":
                break
            if self._api.act(str(server["id"]), verb) is None:
                server = None
            else:
                server = self._until_off(str(server["id"]))
        if server is None:
            return mapping.absent(contract, self.scope(), handle)
        return self._observe(server)

    def start(self, handle: Handle, contract: ContractId) -> Observation:
        """Switch the server on."""
        server = self._ours(handle, contract)
        if server is not None and server["status"] in {"off", "stopping"}:
            self._api.act(str(server["id"]), "poweron")
            server = self._api.server(str(server["id"]))
        if server is None:
            return mapping.absent(contract, self.scope(), handle)
        return self._observe(server)

    def reset_password(
        self, handle: Handle, contract: ContractId, user: str, password: Secret
    ) -> Secret:
        """Let Hetzner set a new password for root and return it: the vendor chooses, ours is not used.

        Takes a running server whose image runs the QEMU guest agent.
        """
        if user != "root":
            raise Rejected("Hetzner resets the password of root only", user=user)
        server = self._ours(handle, contract)
        answered = None
        if server is not None:
            if server["status"] != "running":
                raise TryLater(f"the server is {server['status']}, and must run for a reset")
            answered = self._api.act(str(server["id"]), "reset_password")
        if answered is None:
            raise Rejected("the server is gone")
        try:
            action, works = answered.body["action"], Secret(str(answered.body["root_password"]))
        except (KeyError, TypeError) as error:
            raise Broken("the answer to reset_password lacks action or password") from error
        try:
            self._api.wait(action, self._settings.action_wait_s)
        except Broken as error:
            raise Rejected(f"{error.message}; does its image run qemu-guest-agent?") from error
        return works

    def meter(self, handle: Handle, contract: ContractId) -> Traffic:
        """Read the server's public traffic since its creation or the month's start; Hetzner counts by month."""
        server = self._ours(handle, contract)
        if server is None:
            raise Rejected("the server is gone")
        since_ms = max(
            mapping.observe(server, "").created_at_ms, mapping.month_start_ms(self._clock.now_ms())
        )
        received, sent = server["ingoing_traffic"] or 0, server["outgoing_traffic"] or 0
        return Traffic(received, sent, since_ms)

    def check_plan(self, plan: Plan) -> tuple[Check, ...]:
        """Compare an offering with the live catalogue."""
        catalogue = self._account.catalogue(CHECKS_MS)
        return check_plan(lambda: catalogue.choose(plan, self._settings), _described)

    def close(self) -> None:
        """Release connections; later calls are TryLater."""
        self._account.close()

    @property
    def _api(self) -> HetznerApi:
        return self._account.api

    def _observe(self, server: Record) -> Observation:
        seen = mapping.observe(server, self._account.known_scope())
        age_ms = self._clock.now_ms() - seen.created_at_ms
        if seen.state is Observed.CREATING and age_ms > _SLOW_START_MS:
            for action in self._api.failed_actions(str(server["id"]))[:1]:
                return replace(seen, detail=f"{action['command']} failed: {failure(action)}")
        return seen

    def _refuse_wreck(self, server: Record) -> None:
        """Raise TryLater for a server on its way out; one whose making failed is sent there first."""
        number, status = str(server["id"]), server["status"]
        if status == "deleting":
            raise TryLater(f"the server {number} is still being removed")
        if status == "initializing" and self._making_failed(number):
            self._api.delete_server(number)
            raise TryLater(f"the making of the server {number} failed; it is removed first")

    def _making_failed(self, server: str) -> bool:
        return any(each["command"] == "create_server" for each in self._api.failed_actions(server))

    def _ours(self, handle: Handle, contract: ContractId) -> Record | None:
        """Read a server that something is to be done to; Rejected unless it is this contract's."""
        server = self._api.server(handle.data["id"])
        if server is not None and not mapping.is_ours(server, self._platform, contract):
            raise Rejected(f"the server {server['id']} is not this contract's", server=server["id"])
        return server

    def _order(self, spec: InstanceSpec, choice: Choice, data: str) -> Record | None:
        """Order in the first location that has one; None if the name is taken."""
        bodies = [
            mapping.create_body(
                spec,
                server_type=choice.server_type,
                image=choice.image,
                location=location,
                user_data=data,
                ipv6=self._settings.ipv6,
            )
            for location in choice.locations
        ]
        return order_in_turn(bodies, self._api.create_server)

    def _until_off(self, server: str) -> Record | None:
        """Read until the server is off or gone, as long as `shutdown_wait_s`."""
        end_ms = self._clock.now_ms() + round(self._settings.shutdown_wait_s * 1_000)
        while True:
            read = self._api.server(server)
            if read is None or read["status"] == "off" or self._clock.now_ms() >= end_ms:
                return read
            self._pause(_POLL_S)


def _fingerprint(api: HetznerApi) -> str:
    """Read the mark; make it and read again, so that agents who make one at once agree on the oldest."""
    key = api.key_named(mapping.MARK_NAME)
    if key is None:
        labels = {mapping.LABEL_MARK: secrets.token_hex(16)}
        # Nobody keeps the private half: the key opens nothing.
        public = make_host_key(secrets.token_bytes(SEED_BYTES)).public
        api.create_key(mapping.MARK_NAME, f"{public} {mapping.MARK_NAME}", labels)
        key = api.key_named(mapping.MARK_NAME)
    if key is None:
        raise TryLater(f"the SSH key {mapping.MARK_NAME} is made and not shown yet")
    mark = mapping.mark_of(key)
    if not mark:
        raise Broken(f"the SSH key {mapping.MARK_NAME} lacks the label {mapping.LABEL_MARK}")
    return f"{mapping.DRIVER}:{mark}"


def _read_catalogue(api: HetznerApi) -> Catalogue:
    types, images, locations = api.catalogue()
    return Catalogue(tuple(types), tuple(images), tuple(locations))


def _described(choice: Choice) -> str:
    places = ", ".join(choice.locations)
    return f"{choice.server_type} ({choice.architecture}) from {choice.image} in {places}"
