"""The manual driver: people make and remove the machines, and say so with `dc-agent manual`."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

from decent_cloud.drivers.contract import (
    Broken,
    Check,
    Description,
    DriverError,
    Handle,
    InstanceSpec,
    Observation,
    Probe,
    Rejected,
    TryLater,
)
from decent_cloud.drivers.manual.notice import Notice, to_do
from decent_cloud.drivers.manual.requests import LIVE, Request, Requests, Step
from decent_cloud.drivers.manual.settings import ManualSettings, read_settings
from decent_cloud.kernel.clock import Clock, SystemClock
from decent_cloud.kernel.errors import Invalid
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import Observed

NAME = "manual"
VERSION = "1"
_STATES = {
    Step.ASKED: Observed.CREATING,
    Step.RUNNING: Observed.RUNNING,
    Step.REMOVAL_ASKED: Observed.DELETING,
    Step.GONE: Observed.ABSENT,
    Step.FAILED: Observed.ABSENT,
}


class ManualDriver:
    """The six verbs over `Requests`; a machine is what a person says it is."""

    def __init__(self, settings: ManualSettings, platform: str, clock: Clock | None = None) -> None:
        self._settings = settings
        self._platform = platform
        self._requests = Requests(Path(settings.path), clock or SystemClock())
        self._notice = Notice(self._requests, settings.on_change)

    @classmethod
    def from_settings(cls, settings: Mapping[str, object], platform: str) -> Self:
        """Build the driver without I/O; raises Invalid for a setting that is not right."""
        return cls(read_settings(settings), platform)

    def describe(self) -> Description:
        """Return what this driver is; no I/O."""
        return Description(NAME, VERSION, "people", self._settings.isolation)

    def probe(self) -> Probe:
        """Read the file of requests; never raises DriverError."""
        cure = "give the agent a `path` in a folder that it may write to"
        try:
            scope = self.scope()
        except DriverError as error:
            return Probe("", frozenset(), (Check("requests", False, error.message, cure),))
        return Probe(
            scope, frozenset(), (Check("requests", True, self._settings.path), *self._hook())
        )

    def scope(self) -> str:
        """Read the mark of the file of requests."""
        with _readable():
            return self._requests.scope()

    def create(self, spec: InstanceSpec) -> Observation:
        """Ask for the machine, or return the one that this contract already has here."""
        if spec.platform != self._platform:
            raise Rejected(f"{spec.name} of {spec.platform} is not for this driver to make")
        with _readable():
            try:
                request = self._requests.ask(spec, self._settings.images, self._settings.capacity)
            except Invalid as error:
                raise Rejected(error.message, image=spec.image) from error
            if request.step is Step.FAILED:
                raise Rejected(request.reason)
            self._notice.tell()
            return self._seen(request)

    def inspect(self, handle: Handle, contract: ContractId) -> Observation:
        """Read one request; ABSENT once a person said so."""
        with _readable():
            found = self._requests.get(_number(handle))
            if found is not None and not self._is_ours(found, contract):
                raise Broken(f"request {found.id} belongs to another contract")
            return self._seen(found) if found else self._absent(handle, contract)

    def destroy(self, handle: Handle, contract: ContractId) -> Observation:
        """Ask for the removal; it is over when a person says so."""
        with _readable():
            found = self._requests.get(_number(handle))
            if found is None:
                return self._absent(handle, contract)
            if not self._is_ours(found, contract):
                raise Rejected(f"request {found.id} belongs to another contract")
            asked = self._requests.ask_removal(found.id)
            self._notice.tell()
            return self._seen(asked)

    def list_owned(self, contract: ContractId | None = None) -> tuple[Observation, ...]:
        """List this platform's live requests, and tell people of those that they do not know of."""
        with _readable():
            self._notice.tell()
            return tuple(
                self._seen(each)
                for each in self._requests.all()
                if each.step in LIVE and self._is_ours(each, contract or each.contract)
            )

    def close(self) -> None:
        """Nothing is held open."""

    def _hook(self) -> tuple[Check, ...]:
        if not self._settings.on_change:
            return ()
        path = Path(self._settings.on_change[0])
        fine = path.is_file()
        cure = "" if fine else "see `on_change` of the driver's settings"
        return (Check("on_change", fine, str(path), cure),)

    def _is_ours(self, request: Request, contract: str) -> bool:
        return (request.platform, request.contract) == (self._platform, contract)

    def _seen(self, request: Request) -> Observation:
        return Observation(
            contract=ContractId(request.contract),
            state=_STATES[request.step],
            scope=self._requests.scope(),
            handle=Handle(NAME, {"request": str(request.id)}),
            host=request.host,
            port=request.port,
            attempt=request.attempt,
            created_at_ms=request.created_at_ms,
            detail=request.reason or to_do(request),
        )

    def _absent(self, handle: Handle, contract: ContractId) -> Observation:
        return Observation(contract, Observed.ABSENT, self._requests.scope(), handle)


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """Turn what goes wrong with the file into the contract's errors."""
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        raise TryLater(f"the file of requests cannot be used now: {error}") from error
    except sqlite3.DatabaseError as error:
        raise Broken(f"the file of requests is damaged: {error}") from error


def _number(handle: Handle) -> int:
    try:
        return int(handle.data["request"])
    except (KeyError, ValueError) as error:
        raise Broken("this handle is not of a request") from error
