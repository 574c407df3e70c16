"""A signed order, read and judged before anything is taken: who signed, how fresh, at which price, in what standing."""

from __future__ import annotations

from dataclasses import dataclass

from decent_cloud.app.accounts import load_chain
from decent_cloud.app.agents import online_agents
from decent_cloud.app.caller import Caller, CallerKind, require_writer
from decent_cloud.app.offerings import visible_offering
from decent_cloud.app.plan_checks import words_now
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.app.statements import from_wire
from decent_cloud.domain.catalog.offerings import Offering
from decent_cloud.domain.catalog.plan_checks import fails
from decent_cloud.domain.catalog.rentable import hindrance, refuse
from decent_cloud.domain.catalog.terms import OfferChanged, check_price
from decent_cloud.domain.identity.chains import statement_text
from decent_cloud.domain.keys.chain import ChainState
from decent_cloud.domain.keys.orders import Order, verify_order
from decent_cloud.domain.keys.statements import Statement, signers_of
from decent_cloud.domain.ledger.accounts import AccountKind, kind_of
from decent_cloud.kernel.clock import SECOND_MS
from decent_cloud.kernel.errors import Exhausted, Forbidden, Invalid
from decent_cloud.kernel.ids import AccountId
from decent_cloud.kernel.ssh_keys import BadSshKey, SshPublicKey
from decent_cloud.wire.v1.statements import StatementWire

MAX_UNPAID_ORDERS = 2
MAX_SSH_KEYS = 16


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


@dataclass(frozen=True, slots=True)
class SignedOrder:
    """A verified order and the text it is kept as."""

    order: Order
    text: str


def read_order(uow: UnitOfWork, caller: Caller, wire: StatementWire) -> SignedOrder:
    """Verify an order against the caller's chain; never one by an agent, nor sent by one.

    Errors: any `KeyRefused`, AgentCannotOrder, DeviceOnly, ReadOnlyDevice.
    """
    if caller.kind is CallerKind.AGENT:
        raise AgentCannotOrder
    chain = load_chain(uow, require_writer(caller))
    statement = from_wire(wire)
    _refuse_agents(chain, statement)
    return SignedOrder(verify_order(statement, chain), statement_text(statement))


def _refuse_agents(chain: ChainState, statement: Statement) -> None:
    signers = (chain.members.get(kid) for kid in signers_of(statement))
    if any(signer is not None and signer.device.is_agent for signer in signers):
        raise AgentCannotOrder


def check_fresh(order: Order, now_ms: int) -> None:
    """Refuse an order that is seen first after its time.

    Errors: OrderTooLate.
    """
    # The last second counts in full, as everywhere that a statement names a second.
    if now_ms >= (order.not_after_s + 1) * SECOND_MS:
        raise OrderTooLate(field="order.not_after")


def ordered_offering(uow: UnitOfWork, order: Order, now_ms: int, *, takes_unit: bool) -> Offering:
    """Return the offering as the order names it; offer, price, hours and stock all fit.

    Errors: NotFound, Invalid, NotRentable, OfferChanged, PriceChanged.
    """
    offering = visible_offering(uow, order.account_id, order.offering_id)
    if offering.provider != order.provider:
        raise Invalid("the offering belongs to another provider", field="order.provider")
    agents = online_agents(uow, offering.provider, offering.pool, now_ms)
    because = hindrance(
        offering,
        order.account_id,
        agent_online=bool(agents),
        plan_fails=takes_unit and fails(words_now(uow, offering, agents)),
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


def check_ssh_keys(keys: tuple[str, ...]) -> None:
    """Refuse no keys, too many, and every line that is not one plain public key.

    Errors: Invalid, BadSshKey, naming the key.
    """
    if not 1 <= len(keys) <= MAX_SSH_KEYS:
        raise Invalid(f"an order names 1 to {MAX_SSH_KEYS} SSH keys", field="order.ssh_keys")
    for index, text in enumerate(keys):
        try:
            SshPublicKey.parse(text)
        except BadSshKey as error:
            raise BadSshKey(error.message, field=f"order.ssh_keys.{index}") from error


def check_standing(uow: UnitOfWork, account: AccountId, *, own: bool, new: bool = True) -> None:
    """Refuse whoever owes money or has orders lying about unpaid; renting from oneself is free.

    Errors: DebtOpen, TooManyUnpaid.
    """
    for balance in uow.ledger.balances(account):
        if kind_of(balance.account.name) is AccountKind.OWED and balance.balance_minor > 0:
            raise DebtOpen(asset=balance.account.asset.value)
    if new and not own and uow.contracts.unpaid_of(account) >= MAX_UNPAID_ORDERS:
        raise TooManyUnpaid
