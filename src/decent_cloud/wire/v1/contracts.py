"""Contracts: orders, their life, money and history."""

from typing import Annotated

import msgspec

from decent_cloud.kernel.codec import Answer, Request
from decent_cloud.kernel.status import ContractState, PaymentState, RefundState
from decent_cloud.wire.v1.assignments import CredentialWire
from decent_cloud.wire.v1.money import Amount, Hex64, ShortText, Timestamp
from decent_cloud.wire.v1.statements import StatementWire


class PayWith(Request, frozen=True):
    """How to pay: `credit`, `prepaid`, or a processor's name with what it needs (sandbox: a test
    card's name).
    """

    method: Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]{1,30}$")]
    card: Annotated[str, msgspec.Meta(max_length=40)] = ""


class PlaceOrder(Request, frozen=True):
    """A device-signed `dcx/order/v1` and how it is paid (nothing to pay for one's own offering)."""

    order: StatementWire
    pay: PayWith | None = None


class ExtendContract(Request, frozen=True):
    """A device-signed order whose `extends` names the contract."""

    order: StatementWire
    pay: PayWith | None = None


class EndContract(Request, frozen=True):
    """Why (for the history, shown to the other side)."""

    reason: ShortText = ""


class TermView(Answer, frozen=True):
    """One paid span and where its money is: `paid` is the sum of all that follows it."""

    id: str
    ordinal: int
    hours: int
    starts_at: Timestamp | None
    ends_at: Timestamp | None
    paid: Amount
    released: Amount
    fee: Amount
    refunded: Amount
    credited: Amount
    held: Amount
    lost: Amount  # given back by a lost dispute


class PaymentView(Answer, frozen=True):
    """A payment as its payer sees it."""

    id: str
    processor: str
    state: PaymentState
    amount: Amount
    detail: str = ""


class RefundView(Answer, frozen=True):
    """Money on its way back."""

    id: str
    state: RefundState
    amount: Amount


class ContractView(Answer, frozen=True):
    """A contract as tenant or provider sees it."""

    id: str
    digest: Hex64
    state: ContractState
    state_since: Timestamp
    deadline: Timestamp | None
    waits_for: str  # who must move it on
    tenant: Hex64
    provider: Hex64
    offering: str
    offering_title: str
    pool: str
    hours: int
    total: Amount
    created_at: Timestamp
    paid_until: Timestamp | None
    host: str
    port: int
    host_keys: tuple[str, ...]
    agent_connected: bool
    end_reason: str
    self_rental: bool
    order: StatementWire
    terms: tuple[TermView, ...]
    payments: tuple[PaymentView, ...]
    refunds: tuple[RefundView, ...]
    credential_n: int  # 0 = none yet


class ContractsPage(Answer, frozen=True):
    """Some contracts, newest first, and the cursor of the next page."""

    items: tuple[ContractView, ...]
    next: str


class CredentialView(Answer, frozen=True):
    """The newest sealed credential, and whose chain and which delegation stand behind its signer.

    `delegation` is the newest statement about that agent: verify it against the provider's chain.
    """

    contract: str
    provider: Hex64
    credential: CredentialWire
    delegation: StatementWire


class HistoryEntry(Answer, frozen=True):
    """One step of a contract's life."""

    seq: int
    at: Timestamp
    actor: str
    event: str
    from_state: str
    to_state: ContractState
    reason: str
    evidence: str


class TrafficView(Answer, frozen=True):
    """What a machine received and sent since `since`, as its agent last told at `at`; nulls: never told."""

    contract: str
    received_bytes: int
    sent_bytes: int
    since: Timestamp | None
    at: Timestamp | None


class HistoryView(Answer, frozen=True):
    """A contract's life, oldest first."""

    items: tuple[HistoryEntry, ...]


class ContractEvent(Answer, frozen=True):
    """One step, as sent on a contract's event stream."""

    contract: str
    state: ContractState
    event: str
    at: Timestamp
    reason: str = ""
