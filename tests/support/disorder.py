"""One rental to which everything may happen in any order, and what must hold after each step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from decent_cloud.app import contracts, payments, refunds, releases, renewals, reset_reports, resets
from decent_cloud.app.ports.processors import ChargeState, SentRefund, SentState
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.domain.catalog.offerings import Offering
from decent_cloud.domain.contracts.contract import Contract
from decent_cloud.domain.contracts.lifecycle import CONTRACT, TERMINAL, ContractEvent
from decent_cloud.domain.contracts.reset import OPEN
from decent_cloud.domain.contracts.served import served_ms
from decent_cloud.domain.ledger import postings
from decent_cloud.domain.ledger.postings import Booking
from decent_cloud.domain.payments.payment import Payment
from decent_cloud.domain.payments.refund import Refund
from decent_cloud.kernel.clock import DAY_MS, HOUR_MS, MINUTE_MS
from decent_cloud.kernel.errors import DecentError, Kind
from decent_cloud.kernel.money import Money
from decent_cloud.kernel.status import ContractState, Desired, Observed, RefundState, ResetFailure
from decent_cloud.wire.v1.assignments import TerminatedReport
from decent_cloud.wire.v1.contracts import EndContract
from decent_cloud.wire.v1.resets import (
    PasswordApplied,
    PasswordReport,
    ResetClaimed,
    ResetGivenUp,
    ResetVerified,
)
from tests.support.rentals import check_books
from tests.support.usecases import SCOPE, Member, Shop, Usecases, failed, stored

WAITS_MS = (0, MINUTE_MS, 16 * MINUTE_MS, HOUR_MS, 5 * HOUR_MS, DAY_MS)
WITH_MONEY = {
    ContractState.ACCEPTED,
    ContractState.PROVISIONING,
    ContractState.PROVISIONED,
    ContractState.ACTIVE,
}
OVER = {
    RefundState.CONFIRMED,
    RefundState.CREDITED,
}


@dataclass
class Rental:
    """A contract between a tenant, a provider, an agent and a processor, none of whom waits for the others."""

    use: Usecases
    shop: Shop
    tenant: Member
    offering: Offering
    contract: Contract
    thorough: bool = True  # look at everything after every step, not at the end alone
    refused: int = 0
    fences: list[int] = field(default_factory=list)

    @classmethod
    def start(cls, use: Usecases, mode: str, *, thorough: bool = True) -> Rental:
        shop, tenant = use.shop(), use.account()
        offering = use.offering(shop, accept_mode=mode, penalty_ppm=50_000, stock=2)
        contract = use.order(tenant, offering, hours=7, renew="credit")
        return cls(use, shop, tenant, offering, contract, thorough)

    def actions(self) -> dict[str, Callable[[int], object]]:
        """Everything that may happen; the number picks a variant."""
        use, agent, contract = self.use, self.shop.agent, self.contract
        return {
            "pay": lambda n: self._charge(n, ChargeState.SUCCEEDED),
            "decline": lambda n: self._charge(n, ChargeState.FAILED),
            "dispute": lambda n: self._charge(n, ChargeState.DISPUTED),
            "dispute won": lambda n: self._charge(n, ChargeState.DISPUTE_WON),
            "dispute lost": lambda n: self._charge(n, ChargeState.DISPUTE_LOST),
            "accept": lambda _: use.write(
                lambda uow: contracts.accept(uow, self.shop.owner.caller, contract.id, use.now_ms)
            ),
            "reject": lambda _: self._end(contracts.reject),
            "terminate": lambda _: self._end(contracts.terminate),
            "cancel": lambda _: use.cancel(self.tenant, contract),
            "extend": lambda n: use.extend(self.tenant, contract, self.offering, hours=n % 4 + 1),
            "lease": lambda _: self.fences.append(use.lease(agent, contract).fence),
            "create": lambda n: use.start_create(agent, contract, self._fence(n)),
            "success": lambda n: use.report(
                agent, contract, use.success(agent, self.tenant, contract, self._fence(n))
            ),
            "failure": lambda n: use.report(agent, contract, failed(self._fence(n))),
            "leftovers": lambda n: use.report(
                agent, contract, failed(self._fence(n), left_behind="x")
            ),
            "gone": lambda _: use.report(agent, contract, TerminatedReport(scope=SCOPE)),
            "absent": lambda _: use.health(agent, contract, Observed.ABSENT),
            "reached": lambda _: use.step(contract, ContractEvent.REACHED),
            "unreachable": lambda _: use.step(contract, ContractEvent.UNREACHABLE),
            "confirm": lambda _: use.write(
                lambda uow: contracts.confirm(uow, self.tenant.caller, contract.id, use.now_ms)
            ),
            "suspend": lambda _: use.step(contract, ContractEvent.SUSPENDED),
            "resume": lambda _: use.step(contract, ContractEvent.RESUMED),
            "wait": lambda n: self._wait(WAITS_MS[n % len(WAITS_MS)]),
            "deadlines": lambda _: self._deadlines(),
            "release": lambda _: use.write(self._release),
            "gift": lambda n: use.write(lambda uow: self._give_credit(uow, 35 * (n % 3 + 1))),
            "renew": lambda n: use.write(
                lambda uow: renewals.renew(uow, contract.id, n % 3 + 1, use.now_ms)
            ),
            "refund sent": lambda n: self._send_refunds(n, SentState.SUCCEEDED),
            "refund failed": lambda n: self._send_refunds(n, SentState.FAILED),
            "reset asked": lambda _: use.write(
                lambda uow: resets.request_reset(uow, self.tenant.caller, contract.id, use.now_ms)
            ),
            "reset told": self._tell_of_reset,
        }

    def happen(self, what: str, variant: int) -> None:
        """Let something happen; a refusal is fine, a broken rule of our own is not."""
        before = self.use.contract(self.contract)
        self._attempt(lambda: self.actions()[what](variant))
        if self.thorough:
            self.check(before)

    def check(self, before: Contract | None = None) -> None:
        """Check what must hold at every moment."""
        use = self.use
        use.read(lambda uow: check_books(uow, (self.contract.id,)))
        now = use.contract(self.contract)
        # What happens to a password leaves the contract in its state.
        told = [row for row in use.history(now) if row.event.startswith("reset_")]
        assert all(row.from_state == row.to_state.value for row in told)
        rows = [row for row in use.history(now) if row not in told]
        for earlier, later in pairwise(rows):
            assert later.from_state == earlier.to_state.value
            event = ContractEvent(later.event)
            assert CONTRACT.allows(ContractState(later.from_state), event)
        assert rows[-1].to_state is now.state
        if before is not None and before.state in TERMINAL:
            assert (now.state, now.version) == (before.state, before.version)
        self._check_resets(now)
        self._check_money_behind_machine(now)
        units = 2 - use.free_units(self.offering)
        assert units == (0 if now.state in TERMINAL else 1)

    def _check_resets(self, now: Contract) -> None:
        """One reset is open at most, none of a contract that is over."""
        found = self.use.read(lambda uow: uow.resets.of_contract(now.id))
        still = [one for one in found if one.state in OPEN]
        assert len(still) <= (0 if now.state in TERMINAL else 1)
        assert all(bool(one.deadline_ms) == (one.state in OPEN) for one in found)

    def _tell_of_reset(self, n: int) -> None:
        """Let the agent report on the newest reset, or begin one in the provider's name."""
        use, agent, contract = self.use, self.shop.agent, self.contract
        found = use.read(lambda uow: uow.resets.of_contract(contract.id))
        named = found[-1].id if found else ""
        sealed = use.success(agent, self.tenant, contract, 1, n=n % 7 + 1).credential
        reports: tuple[PasswordReport, ...] = (
            ResetClaimed(scope=SCOPE, reset=named if n % 2 else ""),
            PasswordApplied(scope=SCOPE, reset=named or "none", credential=sealed),
            ResetVerified(scope=SCOPE, reset=named or "none", n=n % 7 + 1),
            ResetGivenUp(scope=SCOPE, reset=named or "none", failure=ResetFailure.REJECTED),
        )
        command = reports[n % len(reports)]
        use.write(
            lambda uow: reset_reports.report_password(
                uow, agent.caller, contract.id, command, use.now_ms
            )
        )

    def _check_money_behind_machine(self, now: Contract) -> None:
        """Invariant 2: whatever is wanted running is paid; nothing is wanted of what is over."""
        paid = [term for term in self.use.terms(now) if term.paid]
        assert served_ms(now, self.use.now_ms) <= sum(term.hours for term in paid) * HOUR_MS
        assignment = self.use.read(lambda uow: uow.assignments.get(now.id))
        if assignment is None:
            return
        if assignment.desired is Desired.RUNNING:
            assert now.state in WITH_MONEY
            assert paid
        if now.state in TERMINAL:
            assert assignment.desired is Desired.ABSENT

    def finish(self) -> None:
        """Let time pass until everything that is open has ended by itself."""
        for _ in range(40):
            self._wait(DAY_MS)
            self._deadlines()
            for n in range(4):
                self._send_refunds(n, SentState.SUCCEEDED)
            if self.use.contract(self.contract).state in TERMINAL:
                break
        self._charge_all(ChargeState.DISPUTE_WON)
        for n in range(8):
            self._send_refunds(n, SentState.SUCCEEDED)
        self.check()
        now = self.use.contract(self.contract)
        assert now.state in TERMINAL
        for refund in self.use.refunds(now):
            assert refund.state in OVER, refund
        for term in self.use.terms(now):
            assert term.held_minor == 0, term

    def _end(self, verb: Callable[..., Contract]) -> None:
        command = EndContract(reason="over")
        self.use.write(
            lambda uow: verb(
                uow, self.shop.owner.caller, self.contract.id, command, self.use.now_ms
            )
        )

    def _fence(self, n: int) -> int:
        """Mostly the newest fence, now and then an old one or one never given."""
        known = self.fences or [1]
        return known[n % len(known)] if n % 5 == 0 else known[-1]

    def _charge(self, n: int, state: ChargeState) -> None:
        found = self.use.payments(self.contract)
        self.use.charge(self.contract, state, found[n % len(found)])

    def _charge_all(self, state: ChargeState) -> None:
        for payment in self.use.payments(self.contract):
            self._charge_one(payment, state)

    def _charge_one(self, payment: Payment, state: ChargeState) -> None:
        self._attempt(lambda: self.use.charge(self.contract, state, payment))

    def _attempt(self, act: Callable[[], object]) -> None:
        try:
            act()
        except DecentError as refusal:
            if refusal.kind is Kind.INTERNAL:
                raise
            self.refused += 1

    def _wait(self, ms: int) -> None:
        self.use.wait(ms)
        self.use.beat(self.shop.agent)

    def _deadlines(self) -> None:
        self.use.deadlines()
        now_ms = self.use.now_ms
        self.use.write(lambda uow: payments.apply_deadlines(uow, now_ms, 100))
        self.use.write(lambda uow: resets.apply_deadlines(uow, now_ms, 100))

    def _release(self, uow: UnitOfWork) -> None:
        releases.release_earned(uow, stored(uow, self.contract.id), self.use.now_ms)

    def _give_credit(self, uow: UnitOfWork, amount_minor: int) -> None:
        at = Booking(f"gift-{self.use.now_ms}", self.use.now_ms, self.use.now_ms)
        amount = Money(amount_minor, self.contract.asset)
        uow.ledger.post(postings.penalty(at, self.shop.owner.id, self.tenant.id, amount))

    def _send_refunds(self, n: int, state: SentState) -> None:
        found = self.use.refunds(self.contract)
        if found:
            refund = found[n % len(found)]
            self.use.write(lambda uow: self._send(uow, refund, state))

    def _send(self, uow: UnitOfWork, refund: Refund, state: SentState) -> None:
        sent = refunds.mark_sent(uow, refund.id, self.use.now_ms)
        answer = SentRefund(f"re_{refund.id}_{sent.attempts}", state)
        refunds.apply_sent(uow, refund.id, sent.attempts, answer, self.use.now_ms)
