"""The ways into a running machine: the backend's own, or SSH with the management key; looks at what it takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import structlog

from decent_cloud.agent.management import management_key, own_key
from decent_cloud.agent.records import Instance
from decent_cloud.agent.work import Work
from decent_cloud.drivers.contract import (
    CanReplaceKeys,
    CanResetPassword,
    CanTryPassword,
    Handle,
    Rejected,
    Secret,
    SshKey,
    TryLater,
)
from decent_cloud.drivers.parts import guest_ssh
from decent_cloud.drivers.parts.guest_ssh import Entry, GuestDoor, set_password, try_password
from decent_cloud.kernel.status import Observed

_log = structlog.get_logger("dc-agent")

ALARM_HOST_KEY = "host_key_differs"
_USER_SETTING = "user"
_LOOPBACK = "127.0.0.1"


class Entering:
    """Sets and tries passwords in machines of ours, however this backend lets us."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def cannot_set(self, instance: Instance) -> str:
        """Say why no password can be set in this machine; empty where it can."""
        w = self._work
        if w.journal.attempt(instance.attempt) is None:
            return "the host key of this machine is not known here"
        if not isinstance(w.backend.driver, CanResetPassword) and not self._managed(instance):
            name = w.backend.description.name
            return f"the driver {name} cannot set passwords, and the terms allow no management key"
        return ""

    def cannot_replace_keys(self, instance: Instance) -> str:
        """Say why the SSH keys of this machine cannot be replaced; empty where they can."""
        w = self._work
        if isinstance(w.backend.driver, CanReplaceKeys):
            return ""
        if not self._managed(instance):
            name = w.backend.description.name
            return (
                f"the driver {name} cannot replace SSH keys, and the terms allow no management key"
            )
        if w.journal.attempt(instance.attempt) is None:
            return "the host key of this machine is not known here"
        return ""

    def user(self, instance: Instance) -> str:
        """Return whom the tenant logs in as. Errors: TryLater."""
        assignment = self._work.desired.assignment(instance.contract)
        if assignment is None:
            raise TryLater("the contract is not at hand; waiting for the platform", after_s=1)
        return assignment.terms.settings.get(_USER_SETTING, "root")

    def door(self, instance: Instance) -> GuestDoor:
        """Return where the machine answers and the host key that we gave it. Errors: TryLater."""
        attempt = self._work.journal.attempt(instance.attempt)
        if attempt is None or not instance.host:
            raise TryLater("the machine's address is not known yet", after_s=1)
        return GuestDoor(instance.host, instance.port, attempt.host_key)

    def set_password(self, instance: Instance, secret: Secret) -> Secret:
        """Set the tenant's password; return the one that works now. Errors: the driver's five.

        What a backend refuses for this machine (its user, an image without guest agent) is done with
        the management key, where the terms allow one.
        """
        w = self._work
        if instance.handle is None:
            raise Rejected("no machine is known")
        user = self.user(instance)
        if isinstance(w.backend.driver, CanResetPassword):
            try:
                return w.backend.reset_password(instance.handle, instance.contract, user, secret)
            except Rejected as error:
                if not self._managed(instance) or self._is_gone(instance.handle, instance):
                    raise
                _log.info("entering with the management key", because=error.message)
        key = management_key(Path(w.settings.data_dir))
        set_password(self.door(instance), key, user, user, secret)
        return secret

    def replace_keys(self, instance: Instance, keys: tuple[SshKey, ...]) -> None:
        """Let these keys of the tenant in, and no others. Errors: the driver's five."""
        w = self._work
        if instance.handle is None:
            raise Rejected("no machine is known")
        handle, user, driver = instance.handle, self.user(instance), w.backend.driver
        kept = self._own_key(instance)
        if isinstance(driver, CanReplaceKeys):
            w.backend.guarded(
                lambda: driver.replace_keys(handle, instance.contract, user, keys, kept)
            )
            return
        if kept is None:
            raise Rejected("there is no way into this machine")
        key = management_key(Path(w.settings.data_dir))
        guest_ssh.replace_keys(self.door(instance), key, user, keys, kept)

    def read_keys(self, instance: Instance) -> frozenset[str]:
        """Return by which lines the machine lets the tenant in, ours aside. Errors: the driver's five."""
        w = self._work
        if instance.handle is None:
            raise Rejected("no machine is known")
        handle, user, driver = instance.handle, self.user(instance), w.backend.driver
        if isinstance(driver, CanReplaceKeys):
            found = w.backend.guarded(lambda: driver.read_keys(handle, instance.contract, user))
        else:
            key = management_key(Path(w.settings.data_dir))
            found = guest_ssh.read_keys(self.door(instance), key, user)
        kept = self._own_key(instance)
        return frozenset(found) - ({kept.line()} if kept else set())

    def _is_gone(self, handle: Handle, instance: Instance) -> bool:
        """Tell whether the backend refused because there is no machine any more."""
        seen = self._work.backend.inspect(handle, instance.contract)
        return seen.state is Observed.ABSENT

    def _managed(self, instance: Instance) -> bool:
        """Whether the terms allow a key of our own in the machine."""
        assignment = self._work.desired.assignment(instance.contract)
        return assignment is not None and assignment.terms.management_key

    def _own_key(self, instance: Instance) -> SshKey | None:
        return own_key(self._work.settings.data_dir) if self._managed(instance) else None

    def enter(self, instance: Instance, secret: Secret) -> Entry:
        """Try the password as the tenant will: over SSH, or as the driver can where that is not SSH."""
        w = self._work
        user, driver = self.user(instance), w.backend.driver
        if isinstance(driver, CanTryPassword) and instance.handle is not None:
            opened = w.backend.try_password(instance.handle, instance.contract, user, secret)
            return Entry.OPEN if opened else Entry.REFUSED
        entry = Entry.NO_ANSWER
        for door in self._doors(instance):
            entry = try_password(door, user, secret)
            if entry in {Entry.OPEN, Entry.REFUSED}:
                return entry
        if entry is Entry.WRONG_HOST_KEY:
            w.alarm(ALARM_HOST_KEY, f"another host key answers for {instance.contract}")
        return entry

    def _doors(self, instance: Instance) -> Iterator[GuestDoor]:
        """The public address, and this host's own: from inside, the public one may lead nowhere."""
        door = self.door(instance)
        yield door
        if self._work.backend.description.port_range is not None and door.host != _LOOPBACK:
            yield GuestDoor(_LOOPBACK, door.port, door.host_key)
