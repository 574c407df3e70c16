"""Signed orders: a new contract, or more time for one."""

from __future__ import annotations

from dataclasses import dataclass

from decent_cloud.app import payments, steps
from decent_cloud.app.accounts import load_chain
from decent_cloud.app.agents import agent_online
from decent_cloud.app.caller import Caller, CallerKind, require_writer
from decent_cloud.app.offerings import visible_offering
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.app.statements import from_wire
from decent_cloud.domain.catalog.offerings import Offering
from decent_cloud.domain.catalog.rentable import Hindrance, hindrance, refuse
from decent_cloud.domain.catalog.terms import OfferChanged, check_price
from decent_cloud.domain.contracts import lifecycle
from decent_cloud.domain.contracts.contract import Contract, HistoryRow, InstancePlan, Term
from decent_cloud.domain.contracts.lifecycle import ContractEvent
from decent_cloud.domain.identity.chains import statement_text
from decent_cloud.domain.keys.chain import ChainState
from decent_cloud.domain.keys.orders import Order, verify_order
from decent_cloud.domain.keys.statements import Statement, signers_of
from decent_cloud.domain.ledger.accounts import AccountKind, kind_of
from decent_cloud.kernel.clock import SECOND_MS
from decent_cloud.kernel.errors import (
    Conflict,
    Exhausted,
    Forbidden,
    Internal,
    Invalid,
    NotFound,
)
from decent_cloud.kernel.ids import AccountId, ContractId, TermId
from decent_cloud.kernel.lifecycle import IllegalTransition
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.ssh_keys import BadSshKey, SshPublicKey
from decent_cloud.kernel.status import ContractState, PaymentState
from decent_cloud.wire.v1.contracts import ExtendContract, PayWith, PlaceOrder
from decent_cloud.wire.v1.statements import StatementWire

MAX_UNPAID_ORDERS = 2
MAX_SSH_KEYS = 16
ORDERED = "ordered"  # the first row of a history: the birth, not a step of the lifecycle


class AgentCannotOrder(Forbidden):
    """An agent can never sign an order; sign it with a device of rank 0 or 1 of your account."""

    code = "agent_cannot_order"


class OrderTooLate(Invalid):
    """The order's not_after has passed; sign a new one."""

    code = "order_too_late"


class TooManyUnpaid(Exhausted):
    """Two orders of yours wait for payment; pay or cancel one first."""

    code = "too_many_unpaid"


class DebtOpen(Forbidden):
    """Your account owes money after a lost dispute; repay it before you order."""

    code = "debt_open"


class ExtensionOpen(Conflict):
    """An extension of this contract waits for its payment; wait for its end first."""

    code = "extension_open"


@dataclass(frozen=True, slots=True)
class _Signed:
    """A verified order and the text it is kept as."""

    order: Order
    text: str


def place_order(
    uow: UnitOfWork,
    caller: Caller,
    command: PlaceOrder,
    now_ms: int,
    contract_id: ContractId,
    fee_ppm: int,
) -> Contract:
    """Turn a signed order into a contract: unit reserved, payment begun. The same order again gives
    the same contract. `fee_ppm` is the platform's share of what the provider earns.

    Errors: any `KeyRefused`; AgentCannotOrder, OrderTooLate, OfferChanged, PriceChanged, NotRentable,
    TooManyUnpaid, DebtOpen, BadSshKey, Invalid naming the field.
    """
    signed = _read_order(uow, caller, command.order)
    order = signed.order
    if order.extends is not None:
        raise Invalid(
            "this order extends a contract; send it to that contract", field="order.extends"
        )
    known = uow.contracts.by_digest(order.digest)
    if known is not None:
        return known
    _check_fresh(order, now_ms)
    own = order.provider == caller.account
    offering = _offering(uow, order, now_ms, takes_unit=True)
    _check_ssh_keys(order.ssh_keys)
    _check_standing(uow, caller.account, own=own)
    if not uow.offerings.reserve(offering.id):
        raise refuse(offering, Hindrance.SOLD_OUT)
    contract = _contract(contract_id, signed, offering, now_ms)
    uow.contracts.add(contract, _birth(contract, caller, now_ms))
    steps.announce(uow, contract, ORDERED, now_ms, "")
    term = _term(contract, signed, 1, fee_ppm)
    uow.contracts.add_term(term)
    return _pay(uow, caller, contract, term, command.pay, now_ms)


def extend_contract(
    uow: UnitOfWork,
    caller: Caller,
    contract_id: ContractId,
    command: ExtendContract,
    now_ms: int,
    fee_ppm: int,
) -> Contract:
    """Add a paid term to a contract that is active or lapsed, at the offering's present price.

    The same order again changes nothing. Errors: as `place_order`; ExtensionOpen, IllegalTransition.
    """
    signed = _read_order(uow, caller, command.order)
    order = signed.order
    contract = uow.contracts.get(contract_id)
    if contract is None or contract.tenant != caller.account:
        raise NotFound("there is no such contract of yours")
    if order.extends != contract.digest or order.provider != contract.provider:
        raise Invalid("the order must extend this contract", field="order.extends")
    terms = uow.contracts.terms(contract.id)
    if any(term.digest == order.digest for term in terms):
        return contract
    if contract.state not in lifecycle.EXTENDABLE:
        raise IllegalTransition(
            f"a contract is extended while it is active or lapsed, this one is {contract.state.value}"
        )
    _check_fresh(order, now_ms)
    offering = _offering(uow, order, now_ms, takes_unit=False)
    if offering.id != contract.offering:
        raise Invalid(
            "the order names another offering than the contract's", field="order.offer.id"
        )
    _check_standing(uow, caller.account, own=contract.self_rental, new=False)
    if payment_open(uow, contract):
        raise ExtensionOpen
    term = _term(contract, signed, len(terms) + 1, fee_ppm)
    uow.contracts.add_term(term)
    return _pay(uow, caller, contract, term, command.pay, now_ms)


def payment_open(uow: UnitOfWork, contract: Contract) -> bool:
    """Tell whether money for some term of the contract may still come."""
    waiting = {PaymentState.CREATED, PaymentState.HELD_FOR_REVIEW}
    return any(payment.state in waiting for payment in uow.payments.of_contract(contract.id))


def _read_order(uow: UnitOfWork, caller: Caller, wire: StatementWire) -> _Signed:
    if caller.kind is CallerKind.AGENT:
        raise AgentCannotOrder
    chain = load_chain(uow, require_writer(caller))
    statement = from_wire(wire)
    _refuse_agents(chain, statement)
    return _Signed(verify_order(statement, chain), statement_text(statement))


def _refuse_agents(chain: ChainState, statement: Statement) -> None:
    signers = (chain.members.get(kid) for kid in signers_of(statement))
    if any(signer is not None and signer.device.is_agent for signer in signers):
        raise AgentCannotOrder


def _check_fresh(order: Order, now_ms: int) -> None:
    # The last second counts in full, as everywhere that a statement names a second.
    if now_ms >= (order.not_after_s + 1) * SECOND_MS:
        raise OrderTooLate(field="order.not_after")


def _offering(uow: UnitOfWork, order: Order, now_ms: int, *, takes_unit: bool) -> Offering:
    """Return the offering as the order names it; offer, price, hours and stock all fit."""
    offering = visible_offering(uow, order.account_id, order.offering_id)
    if offering.provider != order.provider:
        raise Invalid("the offering belongs to another provider", field="order.provider")
    because = hindrance(
        offering,
        order.account_id,
        agent_online=agent_online(uow, offering.provider, offering.pool, now_ms),
        hours=order.hours,
        takes_unit=takes_unit,
    )
    if because is not None:
        raise refuse(offering, because)
    if offering.offer_hash != order.offer_digest:
        raise OfferChanged(offer_hash=offering.offer_hash)
    own = offering.provider == order.account_id
    check_price(offering, order.hours, order.total_amount_minor, order.total_asset, own=own)
    return offering


def _check_ssh_keys(keys: tuple[str, ...]) -> None:
    if not 1 <= len(keys) <= MAX_SSH_KEYS:
        raise Invalid(f"an order names 1 to {MAX_SSH_KEYS} SSH keys", field="order.ssh_keys")
    for index, text in enumerate(keys):
        try:
            SshPublicKey.parse(text)
        except BadSshKey as error:
            raise BadSshKey(error.message, field=f"order.ssh_keys.{index}") from error


def _check_standing(uow: UnitOfWork, account: AccountId, *, own: bool, new: bool = True) -> None:
    """Refuse whoever owes money or has orders lying about unpaid; renting from oneself is free."""
    for balance in uow.ledger.balances(account):
        if kind_of(balance.account.name) is AccountKind.OWED and balance.balance_minor > 0:
            raise DebtOpen(asset=balance.account.asset.value)
    if new and not own and uow.contracts.unpaid_of(account) >= MAX_UNPAID_ORDERS:
        raise TooManyUnpaid


def _contract(
    contract_id: ContractId, signed: _Signed, offering: Offering, now_ms: int
) -> Contract:
    order = signed.order
    return Contract(
        id=contract_id,
        digest=order.digest,
        tenant=order.account_id,
        provider=offering.provider,
        offering=offering.id,
        offering_title=offering.title,
        pool=offering.pool,
        state=lifecycle.CONTRACT.initial,
        state_since_ms=now_ms,
        deadline_ms=now_ms + lifecycle.REQUESTED_MS,
        created_at_ms=now_ms,
        order=signed.text,
        offer_hash=offering.offer_hash,
        hours=order.hours,
        total_minor=order.total_amount_minor,
        asset=offering.asset,
        plan=InstancePlan(
            image=offering.image,
            cpu_milli=offering.cpu_milli,
            memory_mib=offering.memory_mib,
            disk_gib=offering.disk_gib,
            settings=dict(offering.settings),
        ),
        accept_mode=offering.accept_mode,
        provision_timeout_s=offering.provision_timeout_s,
        penalty_ppm=offering.penalty_ppm,
        renews=order.renew == "credit",
        self_rental=offering.provider == order.account_id,
    )


def _birth(contract: Contract, caller: Caller, now_ms: int) -> HistoryRow:
    return HistoryRow(
        contract=contract.id,
        version=contract.version,
        at_ms=now_ms,
        actor=caller.actor,
        event=ORDERED,
        from_state="",
        to_state=contract.state,
    )


def _term(contract: Contract, signed: _Signed, ordinal: int, fee_ppm: int) -> Term:
    order = signed.order
    return Term(
        id=TermId(f"{contract.id}.{ordinal}"),
        contract=contract.id,
        ordinal=ordinal,
        hours=order.hours,
        asset=Asset(order.total_asset),
        amount_minor=order.total_amount_minor,
        fee_ppm=fee_ppm,
        order=signed.text,
        digest=order.digest,
        paid=contract.self_rental,
    )


def _pay(
    uow: UnitOfWork,
    caller: Caller,
    contract: Contract,
    term: Term,
    pay: PayWith | None,
    now_ms: int,
) -> Contract:
    """Begin the payment of a term, or go straight on where there is nothing to pay."""
    if contract.self_rental:
        first = contract.state is ContractState.REQUESTED
        event = ContractEvent.SETTLED if first else ContractEvent.EXTENDED
        return steps.advance(uow, contract, event, actor=caller.actor, now_ms=now_ms)
    if pay is None:
        raise Invalid("say how you pay: credit, prepaid or a processor", field="pay")
    payments.start(uow, caller.account, contract, term, pay, now_ms)
    found = uow.contracts.get(contract.id)
    if found is None:
        raise Internal
    return found
