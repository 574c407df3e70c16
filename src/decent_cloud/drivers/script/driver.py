"""The script driver: the contract's verbs, done by a program of the provider's in any language.

The driver itself sees to what must not depend on a script: tags are compared before anything is
removed or changed, one contract is worked on at a time, and every call has its limit.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Self

from decent_cloud.drivers.contract import (
    Broken,
    Check,
    Description,
    DriverError,
    Handle,
    InstanceSpec,
    Observation,
    Plan,
    Probe,
    Rejected,
    Secret,
    Traffic,
)
from decent_cloud.drivers.script.protocol import (
    Ability,
    Answer,
    Machine,
    Verb,
    plan_request,
    spec_request,
)
from decent_cloud.drivers.script.script import Script
from decent_cloud.drivers.script.settings import ScriptSettings, read_settings
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import Observed

NAME = "script"
VERSION = "1"
_SHOWN_BY_SCRIPTS = {
    Observed.CREATING,
    Observed.RUNNING,
    Observed.STOPPED,
    Observed.DELETING,
    Observed.ABSENT,
}


class ScriptDriver:
    """The six verbs over a `Script`; `from_settings` adds the abilities that the settings name."""

    def __init__(self, settings: ScriptSettings, platform: str) -> None:
        self._settings = settings
        self._platform = platform
        self._script = Script(settings, platform)
        self._turns: dict[str, threading.Lock] = {}

    @classmethod
    def from_settings(cls, settings: Mapping[str, object], platform: str) -> Self:
        """Build the driver without I/O; raises Invalid for a setting that is not right."""
        parsed = read_settings(settings)
        added = tuple(_ABILITIES[each] for each in Ability if each in parsed.abilities)
        able: type[Self] = type(cls.__name__, (*added, cls), {}) if added else cls
        return able(parsed, platform)

    def describe(self) -> Description:
        """Return what this driver is; no I/O."""
        first, last = self._settings.first_port, self._settings.last_port
        ports = (first, last) if first is not None and last is not None else None
        return Description(NAME, VERSION, self._script.path, self._settings.isolation, ports)

    def probe(self) -> Probe:
        """Let the script try its backend; never raises DriverError."""
        checks = [self._script.examine()]
        if not checks[0].passed:
            return Probe("", frozenset(), tuple(checks))
        try:
            answer = self._script.ask(Verb.PROBE)
            if not answer.scope:
                raise Broken("the script's answer to probe has no scope")
        except DriverError as error:
            cure = "run the script by hand with the request in docs/drivers/script/README.md"
            return Probe("", frozenset(), (*checks, Check("backend", False, error.message, cure)))
        if not answer.checks:
            checks.append(Check("backend", True, "the script answers"))
        return Probe(answer.scope, answer.limits, (*checks, *(answer.checks or ())))

    def scope(self) -> str:
        """Read the backend's fingerprint."""
        return _scope(self._script.ask(Verb.SCOPE))

    def create(self, spec: InstanceSpec) -> Observation:
        """Make the machine, or return the one that this contract already has here."""
        if spec.platform != self._platform:
            raise Rejected(f"{spec.name} of {spec.platform} is not for this driver to make")
        with self._turn(spec.contract):
            answer = self._script.ask(Verb.CREATE, spec=spec_request(spec))
            if answer.machine is None:
                raise Broken("the script's answer to create has no machine")
            if not self._is_ours(answer.machine, spec.contract):
                raise Rejected(f"{spec.name} exists and does not carry our tags")
            return self._seen(answer.machine, _scope(answer))

    def inspect(self, handle: Handle, contract: ContractId) -> Observation:
        """Read one machine."""
        return self._read(handle, contract, strict=False)

    def destroy(self, handle: Handle, contract: ContractId) -> Observation:
        """Remove the machine after a read has shown that it is ours."""
        return self._change(Verb.DESTROY, handle, contract)

    def list_owned(self, contract: ContractId | None = None) -> tuple[Observation, ...]:
        """List the platform's machines; what the script shows of others is left out."""
        answer = self._script.ask(Verb.LIST, contract=contract or "")
        scope = _scope(answer)
        if answer.machines is None:
            raise Broken("the script's answer to list has no machines")
        return tuple(
            self._seen(each, scope)
            for each in answer.machines
            if self._is_ours(each, contract or each.contract) and each.state is not Observed.ABSENT
        )

    def close(self) -> None:
        """Nothing is held open."""

    def _read(self, handle: Handle, contract: ContractId, *, strict: bool) -> Observation:
        """Read one machine; where it is not ours, `strict` makes that Rejected and else Broken."""
        asked = {"handle": dict(handle.data), "contract": contract}
        return self._answered(self._script.ask(Verb.INSPECT, **asked), handle, contract, strict)

    def _answered(
        self, answer: Answer, handle: Handle, contract: ContractId, strict: bool
    ) -> Observation:
        scope = _scope(answer)
        machine = answer.machine
        if machine is None:
            return Observation(contract, Observed.ABSENT, scope, handle)
        if not self._is_ours(machine, contract):
            text = f"the machine does not carry the tags of {contract}"
            raise Rejected(text) if strict else Broken(text)
        return self._seen(machine, scope, handle)

    def _change(self, verb: Verb, handle: Handle, contract: ContractId, **more: Any) -> Observation:
        """Change one machine unless it is gone; returns what the script read afterwards."""
        with self._turn(contract):
            seen = self._read(handle, contract, strict=True)
            if seen.state is Observed.ABSENT:
                return self._forget(verb, handle, contract) or seen
            answer = self._script.ask(verb, handle=dict(handle.data), contract=contract, **more)
            return self._answered(answer, handle, contract, strict=True)

    def _forget(self, verb: Verb, handle: Handle, contract: ContractId) -> Observation | None:
        """Let a script clean up what a machine that is gone left behind."""
        if verb is not Verb.DESTROY:
            return None
        answer = self._script.ask(verb, handle=dict(handle.data), contract=contract)
        return self._answered(answer, handle, contract, strict=True)

    def _ask_of_live(self, verb: Verb, handle: Handle, contract: ContractId, **more: Any) -> Answer:
        """Ask something of a machine that must be there and ours."""
        with self._turn(contract):
            if self._read(handle, contract, strict=True).state is Observed.ABSENT:
                raise Rejected(f"the machine of {contract} is gone")
            return self._script.ask(verb, handle=dict(handle.data), contract=contract, **more)

    @contextlib.contextmanager
    def _turn(self, contract: str) -> Iterator[None]:
        """Let the threads of this program take turns at one contract."""
        with self._turns.setdefault(contract, threading.Lock()):
            yield

    def _is_ours(self, machine: Machine, contract: str) -> bool:
        return (machine.platform, machine.contract) == (self._platform, contract)

    def _seen(self, machine: Machine, scope: str, handle: Handle | None = None) -> Observation:
        if machine.state not in _SHOWN_BY_SCRIPTS:
            raise Broken(f"a script does not say {machine.state}")
        if machine.state is Observed.RUNNING and not (machine.host and machine.port):
            raise Broken("a machine that runs needs host and port")
        data = machine.handle or (dict(handle.data) if handle else {})
        return Observation(
            contract=ContractId(machine.contract),
            state=machine.state,
            scope=scope,
            handle=Handle(NAME, data),
            host=machine.host,
            port=machine.port,
            attempt=machine.attempt,
            created_at_ms=machine.created_at_ms,
            detail=machine.detail,
        )


class _Stopping(ScriptDriver):
    """Adds `CanStop`."""

    def stop(self, handle: Handle, contract: ContractId) -> Observation:
        """Stop the machine; stopping a stopped one succeeds."""
        return self._change(Verb.STOP, handle, contract)

    def start(self, handle: Handle, contract: ContractId) -> Observation:
        """Start the machine; starting a running one succeeds."""
        return self._change(Verb.START, handle, contract)


class _Resetting(ScriptDriver):
    """Adds `CanResetPassword`."""

    def reset_password(
        self, handle: Handle, contract: ContractId, user: str, password: Secret
    ) -> Secret:
        """Set the user's password; returns the script's own where the backend chose it."""
        given = {"user": user, "password": password.reveal()}
        answer = self._ask_of_live(Verb.RESET_PASSWORD, handle, contract, **given)
        return Secret(answer.password) if answer.password else password


class _Metering(ScriptDriver):
    """Adds `CanMeter`."""

    def meter(self, handle: Handle, contract: ContractId) -> Traffic:
        """Read the machine's traffic."""
        metered = self._ask_of_live(Verb.METER, handle, contract).traffic
        if metered is None:
            raise Broken("the script's answer to meter has no traffic")
        return Traffic(metered.received_bytes, metered.sent_bytes, metered.since_ms)


class _PlanChecking(ScriptDriver):
    """Adds `CanCheckPlan`."""

    def check_plan(self, plan: Plan) -> tuple[Check, ...]:
        """Let the script compare a plan with what its backend has."""
        checks = self._script.ask(Verb.CHECK_PLAN, plan=plan_request(plan)).checks
        if checks is None:
            raise Broken("the script's answer to check_plan has no checks")
        return checks


_ABILITIES: dict[Ability, type[ScriptDriver]] = {
    Ability.STOP: _Stopping,
    Ability.RESET_PASSWORD: _Resetting,
    Ability.METER: _Metering,
    Ability.CHECK_PLAN: _PlanChecking,
}


def _scope(answer: Answer) -> str:
    if not answer.scope:
        raise Broken("the script's answer has no scope")
    return answer.scope
