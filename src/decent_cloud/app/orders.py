"""Signed orders: a new contract, or more time for one."""

from __future__ import annotations

from decent_cloud.app import payments, steps
from decent_cloud.app.caller import Caller
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.app.signed_orders import (
    SignedOrder,
    check_fresh,
    check_ssh_keys,
    check_standing,
    ordered_offering,
    read_order,
)
from decent_cloud.domain.catalog.offerings import Offering
from decent_cloud.domain.catalog.rentable import Hindrance, refuse
from decent_cloud.domain.catalog.terms import promises_of
from decent_cloud.domain.contracts import lifecycle
from decent_cloud.domain.contracts.contract import Contract, HistoryRow, InstancePlan, Term
from decent_cloud.domain.contracts.lifecycle import ContractEvent
from decent_cloud.domain.keys.first_scripts import OrderedScript
from decent_cloud.kernel.errors import (
    Conflict,
    Internal,
    Invalid,
    NotFound,
)
from decent_cloud.kernel.ids import ContractId, TermId
from decent_cloud.kernel.lifecycle import IllegalTransition
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.status import ContractState, PaymentState
from decent_cloud.wire.v1.contracts import ExtendContract, PayWith, PlaceOrder

ORDERED = "ordered"  # the first row of a history: the birth, not a step of the lifecycle


class ExtensionOpen(Conflict):
    """An extension of this contract waits for its payment; wait for its end first."""

    code = "extension_open"


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
    signed = read_order(uow, caller, command.order)
    order = signed.order
    if order.extends is not None:
        raise Invalid(
            "this order extends a contract; send it to that contract", field="order.extends"
        )
    known = uow.contracts.by_digest(order.digest)
    if known is not None:
        return known
    check_fresh(order, now_ms)
    own = order.provider == caller.account
    offering = ordered_offering(uow, order, now_ms, takes_unit=True)
    check_ssh_keys(order.ssh_keys)
    check_standing(uow, caller.account, own=own)
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
    signed = read_order(uow, caller, command.order)
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
    check_fresh(order, now_ms)
    offering = ordered_offering(uow, order, now_ms, takes_unit=False)
    if offering.id != contract.offering:
        raise Invalid(
            "the order names another offering than the contract's", field="order.offer.id"
        )
    check_standing(uow, caller.account, own=contract.self_rental, new=False)
    if payment_open(uow, contract):
        raise ExtensionOpen
    term = _term(contract, signed, len(terms) + 1, fee_ppm)
    uow.contracts.add_term(term)
    return _pay(uow, caller, contract, term, command.pay, now_ms)


def payment_open(uow: UnitOfWork, contract: Contract) -> bool:
    """Tell whether money for some term of the contract may still come."""
    waiting = {PaymentState.CREATED, PaymentState.HELD_FOR_REVIEW}
    return any(payment.state in waiting for payment in uow.payments.of_contract(contract.id))


def _contract(
    contract_id: ContractId, signed: SignedOrder, offering: Offering, now_ms: int
) -> Contract:
    order = signed.order
    promises = promises_of(offering.terms)
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
            reset=promises.reset,
            management_key=promises.management_key,
            first_script=None
            if promises.first_script is None
            else OrderedScript(promises.first_script, offering.terms, offering.offer),
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


def _term(contract: Contract, signed: SignedOrder, ordinal: int, fee_ppm: int) -> Term:
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
