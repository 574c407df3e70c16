"""One small function per flow: which transfers book it. Pure; the caller posts the group whole.

Amounts of 0 leave their transfer out. Every id is `<reference>:<kind>`, with `:<k>` where a flow repeats under
one reference, so that the same step can never be booked twice.
"""

from __future__ import annotations

from dataclasses import dataclass

from decent_cloud.domain.ledger import accounts
from decent_cloud.domain.ledger.accounts import AccountKind, TransferKind, check_transfer
from decent_cloud.domain.ledger.transfers import LedgerAccount, Transfer
from decent_cloud.kernel.ids import AccountId, PaymentId, TermId, TransferId
from decent_cloud.kernel.money import Asset, Money

Group = tuple[Transfer, ...]


@dataclass(frozen=True, slots=True)
class Booking:
    """Under which reference a group is booked and when; `k` tells repeats of one flow apart."""

    reference: str
    booked_at_ms: int
    occurred_at_ms: int
    k: str = ""


@dataclass(frozen=True, slots=True)
class LostParts:
    """Who bears a lost dispute, in minor units; the sum is what the processor took back."""

    held_minor: int = 0
    payable_minor: int = 0
    fee_minor: int = 0
    prepaid_minor: int = 0
    credit_minor: int = 0
    deferred_minor: int = 0
    owed_minor: int = 0
    loss_minor: int = 0


def _move(
    at: Booking, kind: TransferKind, debit: LedgerAccount, credit: LedgerAccount, amount_minor: int
) -> Group:
    """Return the one transfer of a step, none if nothing moves."""
    if amount_minor == 0:
        return ()
    parts = (at.reference, kind.value, at.k) if at.k else (at.reference, kind.value)
    transfer = Transfer(
        id=TransferId(":".join(parts)),
        debit=debit,
        credit=credit,
        amount_minor=amount_minor,
        kind=kind.value,
        reference=at.reference,
        booked_at_ms=at.booked_at_ms,
        occurred_at_ms=at.occurred_at_ms,
    )
    check_transfer(transfer)
    return (transfer,)


def _cost(name: str, asset: Asset) -> LedgerAccount:
    return accounts.account(AccountKind.COST, name, asset)


def _deferred(asset: Asset) -> LedgerAccount:
    return accounts.account(AccountKind.DEFERRED, "notifications", asset)


def _treasury(move: str, asset: Asset) -> LedgerAccount:
    return accounts.account(AccountKind.TREASURY, move, asset)


def order(at: Booking, purse: LedgerAccount, term: TermId, paid: Money) -> Group:
    """Hold what was paid for a term (also an extension's); `purse` is a processor, prepaid or credit."""
    into = accounts.held(term, paid.asset)
    return _move(at, TransferKind.ORDER, purse, into, paid.amount_minor)


def processor_cost(at: Booking, name: str, cost: Money) -> Group:
    """Book what a processor kept for itself."""
    processor = accounts.processor(name, cost.asset)
    return _move(
        at, TransferKind.PROCESSOR_COST, _cost(name, cost.asset), processor, cost.amount_minor
    )


def to_suspense(at: Booking, name: str, payment: PaymentId, received: Money) -> Group:
    """Set aside money that came late, mismatched or unknown."""
    debit = accounts.processor(name, received.asset)
    credit = accounts.suspense(payment, received.asset)
    return _move(at, TransferKind.TO_SUSPENSE, debit, credit, received.amount_minor)


def review_settled(at: Booking, payment: PaymentId, term: TermId, paid: Money) -> Group:
    """Hold money from suspense that an operator has accepted as a term's payment."""
    debit, credit = accounts.suspense(payment, paid.asset), accounts.held(term, paid.asset)
    return _move(at, TransferKind.REVIEW_SETTLED, debit, credit, paid.amount_minor)


def release(
    at: Booking, term: TermId, provider: AccountId, earned_minor: int, fee_minor: int, asset: Asset
) -> Group:
    """Give `earned_minor` of a term out of held: the fee to the platform, the rest to the provider."""
    held = accounts.held(term, asset)
    payable = accounts.payable(provider, asset)
    fee = accounts.account(AccountKind.FEE, "", asset)
    return _move(at, TransferKind.RELEASE, held, payable, earned_minor - fee_minor) + _move(
        at, TransferKind.PLATFORM_FEE, held, fee, fee_minor
    )


def refund_sent(at: Booking, source: LedgerAccount, amount_minor: int) -> Group:
    """Put a refund on its way; the reference is the refund."""
    into = accounts.transit(at.reference, source.asset)
    return _move(at, TransferKind.REFUND_SENT, source, into, amount_minor)


def refund_confirmed(at: Booking, name: str, amount: Money) -> Group:
    """Book that a processor paid a refund out; the reference is the refund."""
    debit = accounts.transit(at.reference, amount.asset)
    credit = accounts.processor(name, amount.asset)
    return _move(at, TransferKind.REFUND_CONFIRMED, debit, credit, amount.amount_minor)


def refund_confirmed_by_wallet(
    at: Booking, ledger: str, amount: Money, network_fee_minor: int
) -> Group:
    """Book a refund paid from our own wallet; the network's fee is ours."""
    wallet = accounts.wallet(ledger, amount.asset)
    transit = accounts.transit(at.reference, amount.asset)
    paid = _move(at, TransferKind.REFUND_CONFIRMED, transit, wallet, amount.amount_minor)
    cost = _cost(ledger, amount.asset)
    return paid + _move(at, TransferKind.NETWORK_FEE, cost, wallet, network_fee_minor)


def refund_failed(at: Booking, source: LedgerAccount, amount_minor: int) -> Group:
    """Bring a refund that failed while sent back to where it came from; the reference is the refund."""
    debit = accounts.transit(at.reference, source.asset)
    return _move(at, TransferKind.REFUND_FAILED, debit, source, amount_minor)


def refund_given_back(at: Booking, name: str, source: LedgerAccount, amount_minor: int) -> Group:
    """Bring a refund that the rail returned after it was confirmed back to where it came from."""
    debit = accounts.processor(name, source.asset)
    return _move(at, TransferKind.REFUND_GIVEN_BACK, debit, source, amount_minor)


def refund_to_balance(
    at: Booking, source: LedgerAccount, balance: LedgerAccount, amount_minor: int
) -> Group:
    """Refund into the tenant's own balance: where it was paid from, else credit."""
    return _move(at, TransferKind.REFUND_TO_BALANCE, source, balance, amount_minor)


def treasury_sent(at: Booking, name: str, amount: Money) -> Group:
    """Book that a processor's balance is on its way to our wallet; the reference is the move."""
    debit, credit = _treasury(at.reference, amount.asset), accounts.processor(name, amount.asset)
    return _move(at, TransferKind.TREASURY_SENT, debit, credit, amount.amount_minor)


def treasury_arrived(at: Booking, ledger: str, arrived: Money, fee_minor: int) -> Group:
    """Book what the certified block shows: the rest of a treasury move was the network's fee."""
    transit = _treasury(at.reference, arrived.asset)
    wallet, cost = accounts.wallet(ledger, arrived.asset), _cost(ledger, arrived.asset)
    came = _move(at, TransferKind.TREASURY_ARRIVED, wallet, transit, arrived.amount_minor)
    return came + _move(at, TransferKind.NETWORK_FEE, cost, transit, fee_minor)


def sla_credit(at: Booking, term: TermId, tenant: AccountId, amount: Money) -> Group:
    """Give the tenant back what a missed SLA costs, out of what is held."""
    debit, credit = accounts.held(term, amount.asset), accounts.credit(tenant, amount.asset)
    return _move(at, TransferKind.SLA_CREDIT, debit, credit, amount.amount_minor)


def dispute_opened(
    at: Booking, name: str, payment: PaymentId, taken: Money, fee_minor: int
) -> Group:
    """Book what a processor took back, and its fee for doing so."""
    processor = accounts.processor(name, taken.asset)
    dispute, cost = accounts.dispute(payment, taken.asset), _cost(name, taken.asset)
    opened = _move(at, TransferKind.DISPUTE_OPENED, dispute, processor, taken.amount_minor)
    return opened + _move(at, TransferKind.DISPUTE_FEE, cost, processor, fee_minor)


def dispute_won(at: Booking, name: str, payment: PaymentId, taken: Money) -> Group:
    """Book that the processor gave the disputed money back."""
    debit, credit = accounts.processor(name, taken.asset), accounts.dispute(payment, taken.asset)
    return _move(at, TransferKind.DISPUTE_WON, debit, credit, taken.amount_minor)


def dispute_lost(
    at: Booking,
    payment: PaymentId,
    term: TermId,
    tenant: AccountId,
    provider: AccountId,
    parts: LostParts,
    asset: Asset,
) -> Group:
    """Share out a lost dispute; term and provider may be empty where they bear nothing (top-up, pack)."""
    account = accounts.account
    bearers = (
        ("held", AccountKind.HELD, term, parts.held_minor),
        ("payable", AccountKind.PAYABLE, provider, parts.payable_minor),
        ("fee", AccountKind.FEE, "", parts.fee_minor),
        ("prepaid", AccountKind.PREPAID, tenant, parts.prepaid_minor),
        ("credit", AccountKind.CREDIT, tenant, parts.credit_minor),
        ("deferred", AccountKind.DEFERRED, "notifications", parts.deferred_minor),
        ("owed", AccountKind.OWED, tenant, parts.owed_minor),
        ("loss", AccountKind.DISPUTE_LOSS, "", parts.loss_minor),
    )
    into = accounts.dispute(payment, asset)
    group: Group = ()
    for word, kind, owner, amount_minor in bearers:
        if amount_minor:
            k = f"{word}:{at.k}" if at.k else word
            here = Booking(at.reference, at.booked_at_ms, at.occurred_at_ms, k)
            debit = account(kind, owner, asset)
            group += _move(here, TransferKind.DISPUTE_LOST, debit, into, amount_minor)
    return group


def loss_recovered(at: Booking, source: LedgerAccount, amount_minor: int) -> Group:
    """Reverse a dispute's loss with money that came back after it; the reference is the refund.

    `source` is where a refund came back to that was on its way when the dispute was lost, or a surplus not yet sent.
    """
    credit = accounts.account(AccountKind.DISPUTE_LOSS, "", source.asset)
    return _move(at, TransferKind.LOSS_RECOVERED, source, credit, amount_minor)


def debt_repaid(at: Booking, purse: LedgerAccount, tenant: AccountId, paid: Money) -> Group:
    """Lower a tenant's debt with money from a processor, prepaid or credit."""
    credit = accounts.owed(tenant, paid.asset)
    return _move(at, TransferKind.DEBT_REPAID, purse, credit, paid.amount_minor)


def payout_planned(at: Booking, provider: AccountId, amount: Money) -> Group:
    """Take a payout out of what a provider has earned; the reference is the payout."""
    debit, credit = (
        accounts.payable(provider, amount.asset),
        accounts.transit(at.reference, amount.asset),
    )
    return _move(at, TransferKind.PAYOUT_PLANNED, debit, credit, amount.amount_minor)


def payout_confirmed(at: Booking, rail: LedgerAccount, amount: Money) -> Group:
    """Book that a payout left; `rail` is the wallet or processor that paid it, network fee included."""
    debit = accounts.transit(at.reference, amount.asset)
    return _move(at, TransferKind.PAYOUT_CONFIRMED, debit, rail, amount.amount_minor)


def payout_failed(at: Booking, provider: AccountId, amount: Money) -> Group:
    """Give a payout that surely did not leave back to its provider."""
    debit, credit = (
        accounts.transit(at.reference, amount.asset),
        accounts.payable(provider, amount.asset),
    )
    return _move(at, TransferKind.PAYOUT_FAILED, debit, credit, amount.amount_minor)


def pack_sold(at: Booking, purse: LedgerAccount, paid: Money) -> Group:
    """Defer what a notification pack or plan was sold for."""
    return _move(at, TransferKind.PACK_SOLD, purse, _deferred(paid.asset), paid.amount_minor)


def pack_used(at: Booking, used: Money) -> Group:
    """Earn the used part of a pack or plan."""
    income = accounts.account(AccountKind.NOTIFICATION_INCOME, "", used.asset)
    return _move(at, TransferKind.PACK_USED, _deferred(used.asset), income, used.amount_minor)


def pack_refund_sent(at: Booking, unused: Money) -> Group:
    """Put the unused part of a pack or plan on its way back; the reference is the refund."""
    return refund_sent(at, _deferred(unused.asset), unused.amount_minor)


def pack_refund_credited(at: Booking, tenant: AccountId, unused: Money) -> Group:
    """Give the unused part of a pack or plan back as credit."""
    credit = accounts.credit(tenant, unused.asset)
    return refund_to_balance(at, _deferred(unused.asset), credit, unused.amount_minor)


def topup(at: Booking, name: str, tenant: AccountId, paid: Money) -> Group:
    """Add to an account's prepaid balance; its refund is `refund_sent` from there."""
    debit, credit = accounts.processor(name, paid.asset), accounts.prepaid(tenant, paid.asset)
    return _move(at, TransferKind.TOPUP, debit, credit, paid.amount_minor)


def penalty(at: Booking, provider: AccountId, tenant: AccountId, amount: Money) -> Group:
    """Move the stated penalty of a provider who ended a contract to its tenant."""
    debit, credit = accounts.payable(provider, amount.asset), accounts.credit(tenant, amount.asset)
    return _move(at, TransferKind.PENALTY, debit, credit, amount.amount_minor)


def write_off(at: Booking, gone: LedgerAccount, amount: Money) -> Group:
    """Give up a debt: a provider's negative payable or a tenant's owed."""
    debit = accounts.account(AccountKind.BAD_DEBT, "", amount.asset)
    return _move(at, TransferKind.WRITE_OFF, debit, gone, amount.amount_minor)
