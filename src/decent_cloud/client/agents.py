"""What an agent asks of the platform, one method per route, and the pairing relay."""

from __future__ import annotations

from decent_cloud.client.events import EventStream
from decent_cloud.client.transport import Transport
from decent_cloud.kernel.ids import AccountId, ContractId
from decent_cloud.kernel.status import ResetSubject
from decent_cloud.wire.v1.accounts import ChainView, PlatformView
from decent_cloud.wire.v1.agents import AgentSelf, AgentView, Heartbeat, SignedDesired
from decent_cloud.wire.v1.assignments import (
    HealthReport,
    LeaseView,
    ProvisioningReport,
    RenewLease,
    ReportAnswer,
    StartCreate,
    TakeLease,
)
from decent_cloud.wire.v1.first_scripts import FirstScriptText
from decent_cloud.wire.v1.offerings import OfferingView
from decent_cloud.wire.v1.plan_checks import OfferedPlans, PlanWords, PlanWordsTaken
from decent_cloud.wire.v1.providers import JoinPairing, OpenPairing, PairingView
from decent_cloud.wire.v1.resets import KeysReport, PasswordReport, ResetsView, ResetView

_REPORTED_AT = {ResetSubject.PASSWORD: "password", ResetSubject.SSH_KEYS: "ssh-keys"}


class AgentApi:
    """The routes of an agent; each may raise ApiProblem, Unreachable or BadAnswer."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @property
    def skew_ms(self) -> int:
        """How far the platform's clock is ahead of ours, by its last answer."""
        return self._transport.skew_ms

    def platform(self) -> PlatformView:
        """Return who the platform says it is; verify against a pin."""
        return self._transport.get("/platform", PlatformView)

    def me(self) -> AgentSelf:
        """Return who we are to the platform and what we may do."""
        return self._transport.get("/agents/me", AgentSelf)

    def desired(self, since: int) -> SignedDesired:
        """Return the signed desired state of our pool; `since` is the pinned log number."""
        return self._transport.get("/agents/me/desired", SignedDesired, {"since": str(since)})

    def events(self, last_event_id: str = "") -> EventStream:
        """Return the stream of hints that the desired state changed."""
        return EventStream(self._transport, "/agents/me/events", last_event_id)

    def chain(self, account: AccountId) -> ChainView:
        """Return the key chain of a tenant we work for, or of our provider."""
        return self._transport.get(f"/accounts/{account}/chain", ChainView)

    def offering(self, offering: str) -> OfferingView:
        """Return an offering as it is now."""
        return self._transport.get(f"/offerings/{offering}", OfferingView)

    def offered(self, cursor: str, limit: int) -> OfferedPlans:
        """Return a page of what our pool has on offer."""
        query = {"limit": str(limit), **({"cursor": cursor} if cursor else {})}
        return self._transport.get("/agents/me/offerings", OfferedPlans, query)

    def say_plans(self, body: PlanWords) -> PlanWordsTaken:
        """Say which offerings our backend can make."""
        return self._transport.write("POST", "/agents/me/plan-checks", PlanWordsTaken, body)

    def heartbeat(self, provider: AccountId, body: Heartbeat) -> AgentView:
        """Say that we are alive."""
        return self._transport.write("POST", f"/providers/{provider}/heartbeat", AgentView, body)

    def take_lease(self, contract: ContractId, body: TakeLease, key: str = "") -> LeaseView:
        """Ask to work on a contract; a conflict means that another agent does."""
        path = f"/assignments/{contract}/lease"
        return self._transport.write("POST", path, LeaseView, body, key=key)

    def renew_lease(self, contract: ContractId, body: RenewLease) -> LeaseView:
        """Keep a lease; the code `lease_lost` means that it is gone."""
        return self._transport.write("POST", f"/assignments/{contract}/renew", LeaseView, body)

    def start_create(self, contract: ContractId, body: StartCreate, key: str = "") -> LeaseView:
        """Ask leave for the first create call of an attempt."""
        path = f"/assignments/{contract}/create-started"
        return self._transport.write("POST", path, LeaseView, body, key=key)

    def first_script(self, contract: ContractId) -> FirstScriptText:
        """Return what runs in a contract's new machine, and the signed terms that name it."""
        path = f"/assignments/{contract}/first-script"
        return self._transport.get(path, FirstScriptText)

    def report(self, contract: ContractId, body: ProvisioningReport, key: str = "") -> ReportAnswer:
        """Say how provisioning went or that the machine is gone."""
        path = f"/provider/rental-requests/{contract}/provisioning"
        return self._transport.write("PUT", path, ReportAnswer, body, key=key)

    def resets(self, contract: ContractId) -> ResetsView:
        """Return a contract's resets, oldest first."""
        return self._transport.get(f"/contracts/{contract}/resets", ResetsView)

    def report_reset(
        self,
        contract: ContractId,
        subject: ResetSubject,
        body: PasswordReport | KeysReport,
        key: str = "",
    ) -> ResetView:
        """Claim a reset or begin one of a password, send what is set, or say how it ended."""
        path = f"/provider/rental-requests/{contract}/{_REPORTED_AT[subject]}"
        return self._transport.write("PUT", path, ResetView, body, key=key)

    def health(self, contract: ContractId, body: HealthReport, key: str = "") -> ReportAnswer:
        """Say what the last read of the backend showed."""
        path = f"/contracts/{contract}/health"
        return self._transport.write("POST", path, ReportAnswer, body, key=key)


class PairingApi:
    """The relay that passes two sealed messages between a trusted and a new device."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def open(self, rid: str, body: OpenPairing) -> PairingView:
        """Open or renew the relay, as a trusted device."""
        return self._transport.write("PUT", f"/pair/{rid}/old", PairingView, body)

    def read(self, rid: str) -> PairingView:
        """Return what the relay holds."""
        return self._transport.get(f"/pair/{rid}", PairingView)

    def join(self, rid: str, body: JoinPairing) -> PairingView:
        """Leave the new device's message; a later one takes its place."""
        return self._transport.write("PUT", f"/pair/{rid}/new", PairingView, body)

    def chain(self, rid: str) -> ChainView:
        """Return the chain of the account whose device opened the relay."""
        return self._transport.get(f"/pair/{rid}/chain", ChainView)
