"""Accounts, their key chains and seed boxes."""

from typing import Annotated

import msgspec

from decent_cloud.kernel.codec import Answer, Request
from decent_cloud.wire.v1.money import Amount, B64u, Hex64, KidText, ShortText, Timestamp
from decent_cloud.wire.v1.statements import StatementWire


class SeedBoxWire(Request, frozen=True):
    """The account seed of one generation sealed to one device (80 bytes, b64u)."""

    kid: KidText
    gen: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
    box: B64u


class CreateAccount(Request, frozen=True):
    """A genesis link with a box for every device in it."""

    genesis: StatementWire
    boxes: Annotated[tuple[SeedBoxWire, ...], msgspec.Meta(max_length=64)]


class AppendLink(Request, frozen=True):
    """The next link; `boxes` for new or remaining devices; `old_seed` with a rotation."""

    link: StatementWire
    boxes: Annotated[tuple[SeedBoxWire, ...], msgspec.Meta(max_length=64)] = ()
    old_seed: B64u = ""


class SetProfile(Request, frozen=True):
    """Personal fields of an account; stored encrypted, shown to nobody else."""

    display_name: ShortText = ""
    email: ShortText = ""


class DeviceView(Answer, frozen=True):
    """A device of an account."""

    kid: str
    rank: int
    type: str
    active: bool


class AccountView(Answer, frozen=True):
    """An account as its own devices see it."""

    id: Hex64
    seq: int
    head: str
    created_at: Timestamp
    admin: bool
    provider: bool
    devices: tuple[DeviceView, ...]
    display_name: str = ""
    email: str = ""


class ChainView(Answer, frozen=True):
    """All links of an account's chain, in order; verify them, do not trust `head`."""

    account: Hex64
    seq: int
    head: str
    links: tuple[StatementWire, ...]


class BoxesView(Answer, frozen=True):
    """The calling device's seed box, and the sealed earlier seeds by the generation they are sealed
    under.
    """

    boxes: tuple[SeedBoxWire, ...]
    old_seeds: dict[str, str]


class BalanceView(Answer, frozen=True):
    """One ledger account of the caller and its balance (may be negative for payable)."""

    account: str
    balance: Amount


class BalancesView(Answer, frozen=True):
    """Everything the ledger holds in the caller's name."""

    balances: tuple[BalanceView, ...]


class TrialBalanceLine(Answer, frozen=True):
    """Debits and credits of one asset over the whole ledger."""

    debit: Amount
    credit: Amount
    difference: Amount


class TrialBalanceView(Answer, frozen=True):
    """The ledger's proof: per asset, `difference` is 0; `rebuilt` says balances equal their
    transfers.
    """

    lines: tuple[TrialBalanceLine, ...]
    accounts: tuple[BalanceView, ...]
    rebuilt: bool


class PlatformView(Answer, frozen=True):
    """Who this platform is: its id, its Ed25519 key (b64u), mode, and the origins signatures may
    name.
    """

    platform_id: Hex64
    key: B64u
    mode: str
    origins: tuple[str, ...]
    version: str
    processors: tuple[str, ...]
    now: Timestamp
