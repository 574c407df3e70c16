"""The chart of accounts: every kind with its side and floor, and which kinds each kind of transfer may join."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from decent_cloud.domain.ledger.errors import IllegalPosting
from decent_cloud.domain.ledger.transfers import LedgerAccount, Side, Transfer
from decent_cloud.kernel.ids import AccountId, PaymentId, TermId
from decent_cloud.kernel.money import MAX_AMOUNT_MINOR, Asset


class AccountKind(StrEnum):
    """What an account holds; its name begins with this word."""

    PROCESSOR = "processor"
    WALLET = "wallet"
    HELD = "held"
    PREPAID = "prepaid"
    CREDIT = "credit"
    PAYABLE = "payable"
    OWED = "owed"
    SUSPENSE = "suspense"
    DISPUTE = "dispute"
    TRANSIT = "transit"
    TREASURY = "transit/treasury"
    DEFERRED = "deferred"
    FEE = "income/platform_fee"
    NOTIFICATION_INCOME = "income/notifications"
    TAX = "tax"
    COST = "cost"
    DISPUTE_LOSS = "loss/disputes"
    BAD_DEBT = "loss/bad_debt"


@dataclass(frozen=True, slots=True)
class Rule:
    """Which side makes a kind grow, and whether the database refuses a balance below 0."""

    side: Side
    floored: bool = True


CHART: dict[AccountKind, Rule] = {
    # May dip below 0 with an alarm: a processor takes its fee, or a dispute, before the next payment.
    AccountKind.PROCESSOR: Rule(Side.DEBIT, floored=False),
    AccountKind.WALLET: Rule(Side.DEBIT),
    AccountKind.HELD: Rule(Side.CREDIT),
    AccountKind.PREPAID: Rule(Side.CREDIT),
    AccountKind.CREDIT: Rule(Side.CREDIT),
    # Below 0 only by a lost dispute or a penalty (ONLY_BELOW_ZERO); a payout looks before it takes.
    AccountKind.PAYABLE: Rule(Side.CREDIT, floored=False),
    AccountKind.OWED: Rule(Side.DEBIT),
    AccountKind.SUSPENSE: Rule(Side.CREDIT),
    AccountKind.DISPUTE: Rule(Side.DEBIT),
    AccountKind.TRANSIT: Rule(Side.CREDIT),
    AccountKind.TREASURY: Rule(Side.DEBIT),
    AccountKind.DEFERRED: Rule(Side.CREDIT),
    AccountKind.FEE: Rule(Side.CREDIT),
    AccountKind.NOTIFICATION_INCOME: Rule(Side.CREDIT),
    AccountKind.TAX: Rule(Side.CREDIT),
    AccountKind.COST: Rule(Side.DEBIT),
    AccountKind.DISPUTE_LOSS: Rule(Side.DEBIT),
    AccountKind.BAD_DEBT: Rule(Side.DEBIT),
}

_BARE = frozenset(
    {
        AccountKind.FEE,
        AccountKind.NOTIFICATION_INCOME,
        AccountKind.DISPUTE_LOSS,
        AccountKind.BAD_DEBT,
    }
)
_LONGEST_FIRST = sorted(AccountKind, key=lambda kind: -len(kind.value))


class TransferKind(StrEnum):
    """Why money moves; one word per flow."""

    ORDER = "order"
    PROCESSOR_COST = "processor_cost"
    TO_SUSPENSE = "to_suspense"
    REVIEW_SETTLED = "review_settled"
    RELEASE = "release"
    PLATFORM_FEE = "platform_fee"
    REFUND_SENT = "refund_sent"
    REFUND_CONFIRMED = "refund_confirmed"
    REFUND_FAILED = "refund_failed"
    REFUND_GIVEN_BACK = "refund_given_back"
    REFUND_TO_BALANCE = "refund_to_balance"
    NETWORK_FEE = "network_fee"
    TREASURY_SENT = "treasury_sent"
    TREASURY_ARRIVED = "treasury_arrived"
    SLA_CREDIT = "sla_credit"
    DISPUTE_OPENED = "dispute_opened"
    DISPUTE_FEE = "dispute_fee"
    DISPUTE_WON = "dispute_won"
    DISPUTE_LOST = "dispute_lost"
    LOSS_RECOVERED = "loss_recovered"
    DEBT_REPAID = "debt_repaid"
    PAYOUT_PLANNED = "payout_planned"
    PAYOUT_CONFIRMED = "payout_confirmed"
    PAYOUT_FAILED = "payout_failed"
    PACK_SOLD = "pack_sold"
    PACK_USED = "pack_used"
    TOPUP = "topup"
    PENALTY = "penalty"
    WRITE_OFF = "write_off"


def _pairs(debits: str, credits_: str) -> frozenset[tuple[AccountKind, AccountKind]]:
    return frozenset(
        (AccountKind(debit), AccountKind(credit))
        for debit in debits.split()
        for credit in credits_.split()
    )


# (debit, credit) kinds of each kind of transfer; the order is that of the flow table.
PAIRS: dict[TransferKind, frozenset[tuple[AccountKind, AccountKind]]] = {
    TransferKind.ORDER: _pairs("processor prepaid credit", "held"),
    TransferKind.PROCESSOR_COST: _pairs("cost", "processor"),
    TransferKind.TO_SUSPENSE: _pairs("processor", "suspense"),
    TransferKind.REVIEW_SETTLED: _pairs("suspense", "held"),
    TransferKind.RELEASE: _pairs("held", "payable"),
    TransferKind.PLATFORM_FEE: _pairs("held", "income/platform_fee"),
    TransferKind.REFUND_SENT: _pairs("held suspense prepaid deferred", "transit"),
    TransferKind.REFUND_CONFIRMED: _pairs("transit", "processor wallet"),
    TransferKind.REFUND_FAILED: _pairs("transit", "held suspense prepaid deferred"),
    TransferKind.REFUND_GIVEN_BACK: _pairs("processor", "held suspense prepaid deferred"),
    TransferKind.REFUND_TO_BALANCE: _pairs("held suspense deferred", "credit")
    | _pairs("held", "prepaid"),
    TransferKind.NETWORK_FEE: _pairs("cost", "wallet transit/treasury"),
    TransferKind.TREASURY_SENT: _pairs("transit/treasury", "processor"),
    TransferKind.TREASURY_ARRIVED: _pairs("wallet", "transit/treasury"),
    TransferKind.SLA_CREDIT: _pairs("held", "credit"),
    TransferKind.DISPUTE_OPENED: _pairs("dispute", "processor"),
    TransferKind.DISPUTE_FEE: _pairs("cost", "processor"),
    TransferKind.DISPUTE_WON: _pairs("processor", "dispute"),
    TransferKind.DISPUTE_LOST: _pairs(
        "held payable income/platform_fee loss/disputes prepaid credit owed deferred", "dispute"
    ),
    TransferKind.LOSS_RECOVERED: _pairs("held suspense", "loss/disputes"),
    TransferKind.DEBT_REPAID: _pairs("processor prepaid credit", "owed"),
    TransferKind.PAYOUT_PLANNED: _pairs("payable", "transit"),
    TransferKind.PAYOUT_CONFIRMED: _pairs("transit", "wallet processor"),
    TransferKind.PAYOUT_FAILED: _pairs("transit", "payable"),
    TransferKind.PACK_SOLD: _pairs("processor prepaid credit", "deferred"),
    TransferKind.PACK_USED: _pairs("deferred", "income/notifications"),
    TransferKind.TOPUP: _pairs("processor", "prepaid"),
    TransferKind.PENALTY: _pairs("payable", "credit"),
    TransferKind.WRITE_OFF: _pairs("loss/bad_debt", "payable owed"),
}

# The transfers that may take `payable` below 0; every other one is bounded by its caller.
ONLY_BELOW_ZERO = frozenset({TransferKind.DISPUTE_LOST, TransferKind.PENALTY})


def account(kind: AccountKind, owner: str, asset: Asset) -> LedgerAccount:
    """Return the account of a kind; house accounts that exist once have an empty owner."""
    if (kind in _BARE) != (owner == ""):
        raise IllegalPosting(f"{kind.value} with owner {owner!r}")
    rule = CHART[kind]
    return LedgerAccount(
        name=f"{kind.value}/{owner}" if owner else kind.value,
        asset=asset,
        side=rule.side,
        floored=rule.floored,
    )


def processor(name: str, asset: Asset) -> LedgerAccount:
    """Return what a payment processor holds for us."""
    return account(AccountKind.PROCESSOR, name, asset)


def held(term: TermId, asset: Asset) -> LedgerAccount:
    """Return what is paid and not earned of a term."""
    return account(AccountKind.HELD, term, asset)


def suspense(payment: PaymentId, asset: Asset) -> LedgerAccount:
    """Return money of a payment that nothing explains yet."""
    return account(AccountKind.SUSPENSE, payment, asset)


def dispute(payment: PaymentId, asset: Asset) -> LedgerAccount:
    """Return what the processor took back, undecided."""
    return account(AccountKind.DISPUTE, payment, asset)


def transit(id_: str, asset: Asset) -> LedgerAccount:
    """Return money of a refund or payout that was sent and is not confirmed."""
    return account(AccountKind.TRANSIT, id_, asset)


def credit(owner: AccountId, asset: Asset) -> LedgerAccount:
    """Return an account's spendable, not withdrawable balance."""
    return account(AccountKind.CREDIT, owner, asset)


def prepaid(owner: AccountId, asset: Asset) -> LedgerAccount:
    """Return an account's topped-up, refundable balance."""
    return account(AccountKind.PREPAID, owner, asset)


def payable(provider: AccountId, asset: Asset) -> LedgerAccount:
    """Return what a provider has earned."""
    return account(AccountKind.PAYABLE, provider, asset)


def wallet(ledger: str, asset: Asset) -> LedgerAccount:
    """Return the tokens in our own wallet on a ledger."""
    return account(AccountKind.WALLET, ledger, asset)


def owed(owner: AccountId, asset: Asset) -> LedgerAccount:
    """Return a tenant's debt after a lost dispute."""
    return account(AccountKind.OWED, owner, asset)


def named(name: str, asset: Asset) -> LedgerAccount:
    """Rebuild an account from its name, as a record keeps it (`held/<term>`)."""
    kind = kind_of(name)
    return account(kind, name.removeprefix(kind.value).removeprefix("/"), asset)


def kind_of(name: str) -> AccountKind:
    """Tell which kind an account is from its name; raises IllegalPosting for an unknown one."""
    for kind in _LONGEST_FIRST:
        if name == kind.value or name.startswith(f"{kind.value}/"):
            return kind
    raise IllegalPosting(f"no kind of account is called {name!r}")


def check_transfer(transfer: Transfer) -> None:
    """Refuse a transfer that no flow knows: wrong pair, two assets, an amount outside the limits."""
    kind = TransferKind(transfer.kind)
    pair = (kind_of(transfer.debit.name), kind_of(transfer.credit.name))
    if pair not in PAIRS[kind]:
        raise IllegalPosting(f"{kind.value} from {pair[0].value} to {pair[1].value}")
    if transfer.debit.asset is not transfer.credit.asset:
        raise IllegalPosting(f"{kind.value} between two assets")
    if not 0 < transfer.amount_minor <= MAX_AMOUNT_MINOR:
        raise IllegalPosting(f"{kind.value} of {transfer.amount_minor}")
