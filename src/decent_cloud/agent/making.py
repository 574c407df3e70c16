"""The steps that make a machine: lease, look-up, secrets, leave to create, create, wait, report."""

from __future__ import annotations

import socket
from dataclasses import replace

import structlog

from decent_cloud.agent import steps
from decent_cloud.agent.adopting import Adopting
from decent_cloud.agent.backend import alive, handle_text
from decent_cloud.agent.first_scripts import FirstScripts
from decent_cloud.agent.journal import AlreadyFulfilled, NoFreePort
from decent_cloud.agent.management import own_key
from decent_cloud.agent.orders import OrderRefused, Wanted
from decent_cloud.agent.records import Attempt, Change, FirstScript, Instance, KnownList, Stage
from decent_cloud.agent.seal import SSH_PORT, Door, Prepared, new_secrets, seal
from decent_cloud.agent.work import MAX_DETAIL, Work
from decent_cloud.client.errors import ApiProblem
from decent_cloud.client.statements import credential_to_wire
from decent_cloud.domain.keys.credentials import Subject
from decent_cloud.drivers.contract import (
    AuthFailed,
    DriverError,
    FirstRun,
    InstanceSpec,
    NoCapacity,
    Observation,
    Rejected,
    TryLater,
)
from decent_cloud.kernel import codec
from decent_cloud.kernel.errors import Kind
from decent_cloud.kernel.ids import ContractId
from decent_cloud.kernel.status import Observed, ProvisionFailure, ScriptKind
from decent_cloud.wire.v1.agents import AssignmentView
from decent_cloud.wire.v1.assignments import (
    CredentialWire,
    ProvisionedReport,
    RenewLease,
    StartCreate,
    TakeLease,
)
from decent_cloud.wire.v1.first_scripts import LogWire

_log = structlog.get_logger("dc-agent")

LOOK_AGAIN_MS = 100
_USER_SETTING = "user"
_DEFINITE: tuple[tuple[type[DriverError], ProvisionFailure], ...] = (
    (Rejected, ProvisionFailure.REJECTED),
    (NoCapacity, ProvisionFailure.NO_CAPACITY),
    (AuthFailed, ProvisionFailure.AUTH_FAILED),
)


class Making:
    """One method a step; each may raise, and then nothing of it is journalled but what it says."""

    def __init__(self, work: Work, adopting: Adopting) -> None:
        self._work = work
        self._adopting = adopting
        self._first = FirstScripts(work)

    def take_lease(self, contract: ContractId) -> None:
        """Ask for the work; a polite no means that another agent has it."""
        w = self._work
        w.on_step(steps.LEASE_ASKED)
        lease = w.api.take_lease(contract, TakeLease(scope=w.backend.scope))
        w.on_step(steps.LEASE_ANSWERED)
        w.keeper.hold(contract, lease.fence)
        fresh = Instance(
            contract,
            Stage.LEASED,
            w.now_ms(),
            fence=lease.fence,
            scope=w.backend.scope,
            keys=w.instance(contract).keys,
        )
        w.move(fresh, Stage.LEASED, flush=False)  # forgotten, the platform gives it to us again
        w.on_step(steps.LEASE_JOURNALLED)

    def keep_lease(self, contract: ContractId) -> None:
        """Renew after a restart; whoever lost it sets aside what it made."""
        w = self._work
        instance = w.instance(contract)
        try:
            w.api.renew_lease(contract, RenewLease(fence=instance.fence))
        except ApiProblem as error:
            if error.kind is not Kind.CONFLICT:
                raise
            self._adopting.lost(instance, error)
            return
        w.keeper.hold(contract, instance.fence)

    def prepare(self, contract: ContractId) -> None:
        """Look for what exists, verify the order, make and seal secrets, reserve a port, journal all."""
        w = self._work
        instance = w.instance(contract)
        assignment = w.desired.assignment(contract)
        if assignment is None:
            raise TryLater("the order is not at hand; waiting for the platform", after_s=1)
        found = alive(w.backend.look_up(contract))
        if found:
            self._adopting.adopt(instance, found)
            return
        try:
            wanted = w.orders.verify(assignment, w.now_ms())
            newer = w.orders.key_list(assignment, instance.keys)
            if newer is not None:
                wanted = replace(wanted, ssh_keys=newer.keys)
                instance = replace(instance, keys=KnownList(newer.number, newer.digest))
            self._prepare(instance, assignment, wanted)
        except OrderRefused as error:
            w.fail(instance, ProvisionFailure.ORDER_REFUSED, error.message)
        except AlreadyFulfilled as error:
            w.fail(instance, ProvisionFailure.ORDER_REFUSED, error.message)
        except NoFreePort as error:
            w.fail(instance, ProvisionFailure.NO_CAPACITY, error.message)

    def _prepare(self, instance: Instance, assignment: AssignmentView, wanted: Wanted) -> None:
        w = self._work
        ports = w.backend.description.port_range
        port = 0
        if ports is not None:
            port = self._reserve_port(instance.contract, ports)
        user = assignment.terms.settings.get(_USER_SETTING, "root")
        first = self._first.load(assignment)
        # Where the address is known now, the credential that outlives a crash has it.
        host = w.settings.public_host if port else ""
        made = Prepared(
            secrets=new_secrets(),
            subject=Subject(
                wanted.order.account_id, w.provider, wanted.order.digest, assignment.next_n
            ),
            tenant=wanted.tenant,
            ssh_keys=wanted.ssh_keys,
            door=Door(user, host, port or SSH_PORT),
            first=first,
        )
        attempt = Attempt(
            id=w.ids.new("a", w.now_ms()),
            contract=instance.contract,
            created_at_ms=w.now_ms(),
            host_key=made.secrets.host_key.public,
            port=port,
            candidate=_candidate(w, made, made.door),
        )
        # A second attempt after leave to create was given keeps that leave.
        stage = Stage.STARTED if instance.stage is Stage.STARTED else Stage.PREPARED
        prepared = replace(
            instance,
            stage=stage,
            updated_at_ms=w.now_ms(),
            attempt=attempt.id,
            port=port,
            first=FirstScript() if first is not None else None,
            tries=0,
            next_try_ms=0,
        )
        w.journal.commit(Change(prepared, attempt=attempt, fulfils=wanted.order.digest))
        w.vault.keep(attempt.id, made)
        w.on_step(steps.ATTEMPT_JOURNALLED)

    def _reserve_port(self, contract: ContractId, ports: tuple[int, int]) -> int:
        """Reserve a port of ours that no other program of this host listens on. Errors: NoFreePort."""
        taken: frozenset[int] = frozenset()
        while True:
            port = self._work.journal.reserve_port(contract, *ports, taken)
            if _can_bind(port):
                return port
            taken |= {port}

    def start_create(self, contract: ContractId) -> None:
        """Ask leave for the create call."""
        w = self._work
        instance = w.instance(contract)
        w.on_step(steps.START_ASKED)
        try:
            w.api.start_create(contract, StartCreate(fence=instance.fence, scope=instance.scope))
        except ApiProblem as error:
            if error.code != "lease_lost":
                w.refetch()
                raise
            self._adopting.lost(instance, error)
            return
        w.on_step(steps.START_ANSWERED)
        if instance.handle is not None or w.vault.get(instance.attempt) is None:
            w.move(instance, Stage.STARTED)
            w.on_step(steps.START_JOURNALLED)
            return
        # One flush for both: that leave was given, and that the call is about to be made.
        self._call(instance)

    def create(self, contract: ContractId) -> None:
        """Make the machine; whatever goes wrong, look it up before anything else is believed."""
        instance = self._work.instance(contract)
        if instance.create_called_ms:
            self.same_backend(instance)
        self._call(instance)

    def _call(self, instance: Instance) -> None:
        w = self._work
        assignment = w.desired.assignment(instance.contract)
        made = w.vault.get(instance.attempt)
        if assignment is None or made is None:
            raise TryLater("the order is not at hand; waiting for the platform", after_s=1)
        called = replace(instance, create_called_ms=w.now_ms(), empties=0)
        instance = w.move(called, Stage.STARTED)
        w.on_step(steps.START_JOURNALLED)
        w.on_step(steps.CREATE_JOURNALLED)
        try:
            seen = w.backend.create(_spec(w, instance, assignment, made))
        except DriverError as error:
            self._create_failed(instance, error)
            return
        if not alive([seen]):
            doubt = TryLater("a machine of this name is still being removed", after_s=2)
            self._create_failed(instance, doubt)
            return
        self._adopting.adopt(instance, [seen])

    def _create_failed(self, instance: Instance, error: DriverError) -> None:
        w = self._work
        found = alive(w.backend.look_up(instance.contract))
        if found:
            self._adopting.adopt(instance, found)
            return
        for kind, reason in _DEFINITE:
            if isinstance(error, kind):
                w.vault.drop(instance.attempt)
                w.keeper.drop(instance.contract)
                w.fail(instance, reason, error.message)
                return
        _log.warning("create in doubt", contract=instance.contract, code=error.code)
        # What happened is not known: look again soon, and call again only when it is.
        failures = instance.create_failures + 1
        doubtful = replace(
            instance,
            empties=1,
            create_failures=failures,
            create_after_ms=w.now_ms() + w.backoff.pause_ms(failures, error),
            last_error=f"{error.code}: {error.message}"[:300],
        )
        w.wait(doubtful, LOOK_AGAIN_MS)

    def same_backend(self, instance: Instance) -> None:
        """Refuse to believe in emptiness seen on another backend. Errors: TryLater."""
        w = self._work
        if not w.backend.try_out() or w.backend.scope != instance.scope:
            raise TryLater("the backend does not answer, or is another one now", after_s=30)

    def provisioned(self, instance: Instance, seen: Observation) -> None:
        """Journal that the machine is up, and the report of it with the sealed credential."""
        w = self._work
        attempt = w.journal.attempt(instance.attempt)
        if attempt is None:
            self._adopting.unknown(instance, seen)
            return
        host, port = self._address(attempt, seen)
        made = w.vault.get(attempt.id)
        if made is not None and (made.door.host, made.door.port) != (host, port):
            door = replace(made.door, host=host, port=port)
            attempt = replace(attempt, candidate=_candidate(w, made, door))
        body = ProvisionedReport(
            fence=instance.fence,
            scope=instance.scope,
            host=host,
            port=port,
            host_keys=(attempt.host_key,),
            credential=codec.from_json(attempt.candidate, CredentialWire),
            instance=handle_text(instance.handle),
            log=_told_log(instance),
        )
        report = w.report(f"up-{instance.fence}-{attempt.id}", instance.contract, body)
        up = replace(instance, host=host, port=port, first=None)
        w.move(up, Stage.REPORTING, attempt=attempt, reports=(report,))
        w.on_step(steps.REPORT_JOURNALLED)

    def created(self, instance: Instance, seen: Observation) -> None:
        """Judge a read of a machine that is coming up."""
        w = self._work
        if seen.state is Observed.RUNNING:
            self._up(instance, seen)
            return
        age_ms = abs(w.now_ms() - instance.created_at_ms)
        if seen.state is Observed.STOPPED and w.backend.can_stop and instance.handle is not None:
            w.backend.start(instance.handle, instance.contract)
        if seen.state is Observed.ABSENT and age_ms > w.settings.read_lag_ms:
            if seen.scope != instance.scope:
                raise TryLater("another backend answers", after_s=30)
            w.fail(
                replace(instance, handle=None),
                ProvisionFailure.BROKEN,
                (seen.detail or "the machine vanished before it was up")[:MAX_DETAIL],
            )
            return
        w.wait(instance, min(2_000, max(100, age_ms // 4)))

    def _up(self, instance: Instance, seen: Observation) -> None:
        """Hand a machine over that is up, once its first script is over, or fail as the terms say."""
        w = self._work
        attempt = w.journal.attempt(instance.attempt)
        if attempt is not None and instance.first is not None:
            assignment = w.desired.assignment(instance.contract)
            settings = assignment.terms.settings if assignment else {}
            door = Door(settings.get(_USER_SETTING, "root"), *self._address(attempt, seen))
            over = self._first.over(instance, door)
            if over is None:
                return
            instance = over
        if instance.first is None or not instance.first.fails:
            self.provisioned(instance, seen)
            return
        w.vault.drop(instance.attempt)
        w.fail(
            replace(instance, first=None),
            ProvisionFailure.SCRIPT_FAILED,
            "the offering's first script failed; the tenant can read its log",
            left_behind=handle_text(instance.handle),
            log=_told_log(instance),
        )

    def _address(self, attempt: Attempt, seen: Observation) -> tuple[str, int]:
        """Return where tenants reach a machine: by a port of this host, or by its own address."""
        w = self._work
        reached_by_port = w.backend.description.port_range is not None
        host = (w.settings.public_host if reached_by_port else "") or seen.host
        return host or w.settings.public_host, seen.port or attempt.port or SSH_PORT


def _told_log(instance: Instance) -> LogWire | None:
    first = instance.first
    return codec.from_json(first.log, LogWire) if first is not None and first.log else None


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def _candidate(w: Work, made: Prepared, door: Door) -> str:
    return codec.to_json(credential_to_wire(seal(made, door, w.keys))).decode()


def _spec(w: Work, instance: Instance, assignment: AssignmentView, made: Prepared) -> InstanceSpec:
    terms = assignment.terms
    return InstanceSpec(
        platform=w.platform_id,
        contract=instance.contract,
        attempt=instance.attempt,
        name=f"dc-{instance.contract}",
        image=terms.image,
        cpu_milli=terms.cpu_milli,
        memory_mib=terms.memory_mib,
        disk_gib=terms.disk_gib,
        ssh_keys=made.ssh_keys,
        host_key=made.secrets.host_key,
        password=made.secrets.password,
        user=made.door.user,
        ssh_port=instance.port,
        settings=dict(terms.settings),
        management_key=own_key(w.settings.data_dir) if terms.management_key else None,
        user_data=_cloud_config(made.first),
    )


def _cloud_config(first: FirstRun | None) -> str:
    """Return what the machine does by itself at its first start; a script waits for us."""
    return first.text if first is not None and first.kind is ScriptKind.CLOUD_CONFIG else ""
