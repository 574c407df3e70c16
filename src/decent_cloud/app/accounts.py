"""Accounts: their chains with seed boxes, who may read a chain, and personal fields."""

from __future__ import annotations

from dataclasses import dataclass, replace

from decent_cloud.app.caller import Caller, CallerKind, caller_kind, require_reader, require_writer
from decent_cloud.app.ports.unit_of_work import UnitOfWork
from decent_cloud.app.statements import from_wire
from decent_cloud.domain.catalog.visibility import visible
from decent_cloud.domain.identity.accounts import (
    Account,
    Device,
    Link,
    OldSeed,
    Profile,
    SeedBox,
)
from decent_cloud.domain.identity.chains import chain_of, devices_of, statement_text
from decent_cloud.domain.keys import b64u
from decent_cloud.domain.keys.chain import ChainState, begin, extend
from decent_cloud.domain.keys.errors import ChainRule
from decent_cloud.domain.keys.links import Genesis, parse_link
from decent_cloud.domain.keys.seeds import check_boxes
from decent_cloud.domain.keys.statements import Statement
from decent_cloud.kernel.errors import (
    AlreadyExists,
    Conflict,
    Invalid,
    NotFound,
    Unauthenticated,
)
from decent_cloud.kernel.ids import AccountId, Kid
from decent_cloud.kernel.paging import MAX_LIMIT, PageRequest
from decent_cloud.wire.v1.accounts import AppendLink, CreateAccount, SeedBoxWire, SetProfile


class SeqTaken(Conflict):
    """Another link took this place in the chain; reload the chain and sign the change anew."""

    code = "seq_taken"


@dataclass(frozen=True, slots=True)
class AccountDetails:
    """An account as its own devices see it."""

    account: Account
    devices: tuple[Device, ...]
    profile: Profile
    provider: bool


@dataclass(frozen=True, slots=True)
class Chain:
    """The whole chain of an account, as stored."""

    account: Account
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Boxes:
    """The calling device's seed boxes and the account's sealed earlier seeds."""

    boxes: tuple[SeedBox, ...]
    old_seeds: tuple[OldSeed, ...]


@dataclass(frozen=True, slots=True)
class Signer:
    """A device that may sign requests, and the Ed25519 key they are verified with."""

    caller: Caller
    sig_hex: str


def create_account(uow: UnitOfWork, command: CreateAccount, now_ms: int) -> AccountDetails:
    """Begin an account with its first link and a seed box for each of its devices.

    Errors: any `KeyRefused`; AlreadyExists for the same genesis again.
    """
    statement = from_wire(command.genesis)
    chain = begin(statement)
    _check_boxes(chain, command.boxes, "")
    if uow.accounts.get(chain.account_id) is not None:
        raise AlreadyExists("this account exists; sign requests with one of its devices")
    account = Account(
        id=chain.account_id, seq=0, head=chain.head, admin=False, created_at_ms=now_ms
    )
    uow.accounts.add(account)
    _store_link(uow, chain, statement, command.boxes, now_ms)
    return account_details(uow, account.id)


def append_link(
    uow: UnitOfWork, caller: Caller, command: AppendLink, now_ms: int
) -> AccountDetails:
    """Extend the caller's chain: link, seed boxes and old seed in one step, or nothing.

    Errors: any `KeyRefused` (ChainRule for a missing box); SeqTaken if another link came first.
    """
    account = get_account(uow, require_writer(caller))
    before = load_chain(uow, account.id)
    statement = from_wire(command.link)
    _check_place(before, statement)
    chain = extend(before, statement)
    _check_boxes(chain, command.boxes, command.old_seed)
    uow.accounts.save(replace(account, seq=chain.seq, head=chain.head))
    _store_link(uow, chain, statement, command.boxes, now_ms)
    if command.old_seed:
        gen = chain.generation.number
        uow.accounts.add_old_seed(OldSeed(account=account.id, gen=gen, box=command.old_seed))
    return account_details(uow, account.id)


def find_signer(uow: UnitOfWork, account: AccountId, kid: Kid) -> Signer:
    """Return the device that a request names as its signer.

    Errors: Unauthenticated unless it is active in the account's chain.
    """
    found = uow.accounts.get(account)
    device = uow.accounts.device(account, kid)
    if found is None or device is None or not device.active:
        raise Unauthenticated("no active device of that account has this key")
    kind = caller_kind(device.type)
    admin = found.admin and kind is CallerKind.DEVICE
    return Signer(Caller(account, kid, kind, device.rank, admin), device.sig_hex)


def get_account(uow: UnitOfWork, account: AccountId) -> Account:
    """Return an account.

    Errors: NotFound.
    """
    found = uow.accounts.get(account)
    if found is None:
        raise NotFound("there is no such account")
    return found


def account_details(uow: UnitOfWork, account: AccountId) -> AccountDetails:
    """Return an account with its devices and personal fields; who may see it is the caller's to check."""
    return AccountDetails(
        account=get_account(uow, account),
        devices=uow.accounts.devices(account),
        profile=uow.personal.get(account),
        provider=uow.providers.get(account) is not None,
    )


def read_account(uow: UnitOfWork, caller: Caller, account: AccountId) -> AccountDetails:
    """Show an account to one of its own devices.

    Errors: NotFound for everybody else.
    """
    if require_reader(caller) != account:
        raise NotFound("there is no such account, or it is not yours")
    return account_details(uow, account)


def set_profile(uow: UnitOfWork, caller: Caller, command: SetProfile) -> AccountDetails:
    """Replace the caller's personal fields."""
    account = require_writer(caller)
    get_account(uow, account)
    if command.email and "@" not in command.email:
        raise Invalid("an address has an @; leave it empty for none", field="email")
    uow.personal.put(account, Profile(display_name=command.display_name, email=command.email))
    return account_details(uow, account)


def read_boxes(uow: UnitOfWork, caller: Caller) -> Boxes:
    """Return what the calling device needs to find the account's seeds; agents have no box."""
    account = require_reader(caller)
    return Boxes(uow.accounts.boxes(account, caller.kid), uow.accounts.old_seeds(account))


def read_chain(uow: UnitOfWork, caller: Caller, account: AccountId) -> Chain:
    """Show a chain to whoever has a reason: the account itself (its agents too), the other side of a
    contract, or, for a provider's, anyone who may see one of its offerings.

    Errors: NotFound for everybody else.
    """
    if not _may_read_chain(uow, caller, account):
        raise NotFound("there is no such chain, or you have no dealings with its account")
    return stored_chain(uow, account)


def stored_chain(uow: UnitOfWork, account: AccountId) -> Chain:
    """Return a chain as stored; who may see it is the caller's to check."""
    return Chain(get_account(uow, account), uow.accounts.links(account))


def load_chain(uow: UnitOfWork, account: AccountId) -> ChainState:
    """Return the verified chain of an account.

    Errors: NotFound; any `KeyRefused` if the store was tampered with.
    """
    get_account(uow, account)
    return chain_of(account, uow.accounts.links(account))


def grant_admin(uow: UnitOfWork, account: AccountId, *, admin: bool = True) -> Account:
    """Make an account the operator's, or no longer; only called on the server's own host."""
    found = get_account(uow, account)
    if found.admin != admin:
        uow.accounts.save(replace(found, admin=admin))
    return replace(found, admin=admin)


def shows_an_offering(uow: UnitOfWork, provider: AccountId, viewer: AccountId | None) -> bool:
    """Tell whether `viewer` may see at least one of a provider's offerings."""
    page = PageRequest(limit=MAX_LIMIT)
    while True:
        found = uow.offerings.of_provider(provider, page)
        if any(visible(offering, viewer) for offering in found.items):
            return True
        if not found.next:
            return False
        page = PageRequest(cursor=found.next, limit=MAX_LIMIT)


def _may_read_chain(uow: UnitOfWork, caller: Caller, account: AccountId) -> bool:
    if caller.kind is CallerKind.SYSTEM or caller.account == account:
        return True
    if caller.viewer is not None and uow.contracts.between(caller.account, account):
        return True
    return shows_an_offering(uow, account, caller.viewer)


def _check_place(before: ChainState, statement: Statement) -> None:
    link = parse_link(statement.payload)
    if not isinstance(link, Genesis) and link.place.seq <= before.seq:
        raise SeqTaken(seq=before.seq, head=before.head)


def _check_boxes(chain: ChainState, boxes: tuple[SeedBoxWire, ...], old_seed: str) -> None:
    by_kid = {Kid(box.kid): b64u.decode(box.box) for box in boxes}
    if len(by_kid) != len(boxes):
        raise ChainRule("two seed boxes for one device")
    if any(box.gen != chain.generation.number for box in boxes):
        raise ChainRule("a seed box is of another generation than the chain's newest")
    check_boxes(chain, by_kid, b64u.decode(old_seed) if old_seed else None)


def _store_link(
    uow: UnitOfWork,
    chain: ChainState,
    statement: Statement,
    boxes: tuple[SeedBoxWire, ...],
    now_ms: int,
) -> None:
    account = chain.account_id
    uow.accounts.add_link(
        Link(
            account=account,
            seq=chain.seq,
            hash=chain.head,
            statement=statement_text(statement),
            added_at_ms=now_ms,
        )
    )
    uow.accounts.put_devices(devices_of(chain))
    uow.accounts.put_boxes(
        tuple(SeedBox(account=account, kid=Kid(box.kid), gen=box.gen, box=box.box) for box in boxes)
    )
