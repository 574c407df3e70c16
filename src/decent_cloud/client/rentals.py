"""Orders: signed here over verified terms, and journalled before they are sent."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from decent_cloud.client.contracts import ContractsApi
from decent_cloud.client.errors import ApiProblem
from decent_cloud.client.offerings import Quote
from decent_cloud.client.private_files import read_private, write_private
from decent_cloud.client.statements import to_wire
from decent_cloud.client.transport import fresh_key
from decent_cloud.domain.keys.chain import ChainState
from decent_cloud.domain.keys.devices import DeviceKeys
from decent_cloud.domain.keys.errors import KeyRefused
from decent_cloud.domain.keys.orders import NONCE_BYTES, Order, sign_order
from decent_cloud.kernel import codec
from decent_cloud.kernel.clock import HOUR_MS, SECOND_MS
from decent_cloud.kernel.errors import Invalid, Kind, NotFound
from decent_cloud.kernel.ids import Digest
from decent_cloud.wire.v1.contracts import ContractView, ExtendContract, PayWith, PlaceOrder
from decent_cloud.wire.v1.statements import StatementWire

ORDER_VALID_MS = HOUR_MS
# After these the platform may have taken the order all the same, or may take it later.
_UNDECIDED = frozenset({Kind.TRY_LATER, Kind.INTERNAL})


class WrongContract(KeyRefused):
    """The platform answered a signed order with another contract."""

    code = "wrong_contract"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a tenant asks for, beside the offering."""

    hours: int
    ssh_keys: tuple[str, ...]
    pay: PayWith | None
    renew: str = "no"


@dataclass(frozen=True, slots=True)
class Extended:
    """The contract that an order prolongs."""

    id: str
    digest: Digest


@dataclass(frozen=True, slots=True)
class SignedOrder:
    """An order as it is sent, and sent again after a crash: the same bytes under the same key.

    `extends` is the id of the contract that it prolongs, empty for a new one.
    """

    digest: str
    offering: str
    title: str
    statement: StatementWire
    pay: PayWith | None
    key: str
    not_after_s: int
    ssh_key_file: str = ""
    extends: str = ""


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs, with the own chain as it is now."""

    chain: ChainState
    keys: DeviceKeys


def sign(
    quote: Quote, wish: Wish, signer: Signer, now_ms: int, extended: Extended | None = None
) -> SignedOrder:
    """Sign an order for verified terms; it is good for an hour.

    Errors: BadShape for what no reader would take.
    """
    order = Order(
        account_id=signer.chain.account_id,
        extends=extended.digest if extended else None,
        head=signer.chain.pin,
        hours=wish.hours,
        nonce=secrets.token_bytes(NONCE_BYTES),
        not_after_s=(now_ms + ORDER_VALID_MS) // SECOND_MS,
        offer_digest=quote.offer.digest,
        offering_id=quote.offer.offering_id,
        provider=quote.offer.account_id,
        recovery="none",
        renew=wish.renew,
        ssh_keys=wish.ssh_keys,
        total_amount_minor=quote.total_minor(wish.hours, signer.chain.account_id),
        total_asset=quote.price_per_hour.asset.value,
    )
    return SignedOrder(
        digest=order.digest,
        offering=order.offering_id,
        title=quote.view.title,
        statement=to_wire(sign_order(order, signer.keys)),
        pay=None if order.total_amount_minor == 0 else wish.pay,
        key=fresh_key(),
        not_after_s=order.not_after_s,
        extends=extended.id if extended else "",
    )


class OrderJournal:
    """Signed orders whose answer has not come yet, one file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, order: SignedOrder) -> None:
        """Keep an order before it is sent."""
        write_private(self._path(order.digest), codec.to_json(order))

    def drop(self, digest: str) -> None:
        """Forget an order that was answered."""
        self._path(digest).unlink(missing_ok=True)

    def open_orders(self) -> tuple[SignedOrder, ...]:
        """Return the orders without an answer."""
        if not self._folder.is_dir():
            return ()
        return tuple(self._read(path) for path in sorted(self._folder.glob("*.json")))

    def only(self) -> SignedOrder:
        """Return the one order without an answer; of several, the one that runs out last.

        Errors: NotFound.
        """
        found = self.open_orders()
        if not found:
            raise NotFound("no order waits for an answer; see: decent contracts list")
        return max(found, key=lambda order: order.not_after_s)

    def _path(self, digest: str) -> Path:
        return self._folder / f"{digest}.json"

    def _read(self, path: Path) -> SignedOrder:
        try:
            return codec.from_json(read_private(path), SignedOrder)
        except Invalid as error:
            raise Invalid(f"{path} is damaged: {error.message}; remove it", field="order") from None


def send(contracts: ContractsApi, journal: OrderJournal, order: SignedOrder) -> ContractView:
    """Journal an order, send it until it is answered, and forget it then.

    It stays in the journal while its fate is unknown. Errors: ApiProblem, Unreachable, BadAnswer;
    WrongContract.
    """
    journal.put(order)
    try:
        found = _post(contracts, order)
    except ApiProblem as problem:
        if problem.kind not in _UNDECIDED:
            journal.drop(order.digest)
        raise
    if not order.extends and found.digest != order.digest:
        raise WrongContract
    journal.drop(order.digest)
    return found


def _post(contracts: ContractsApi, order: SignedOrder) -> ContractView:
    if order.extends:
        extension = ExtendContract(order=order.statement, pay=order.pay)
        return contracts.extend(order.extends, extension, order.key)
    return contracts.place(PlaceOrder(order=order.statement, pay=order.pay), order.key)
