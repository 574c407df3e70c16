"""The key chain of an account: which devices and which seed generation count, link by link."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from decent_cloud.domain.keys.devices import Device, Rank
from decent_cloud.domain.keys.errors import (
    ChainRule,
    Forked,
    RolledBack,
    UnknownHead,
    WrongAccount,
    WrongSequence,
    WrongSigner,
)
from decent_cloud.domain.keys.links import Add, Genesis, Place, Rotate, parse_link
from decent_cloud.domain.keys.statements import (
    Statement,
    StatementType,
    digest_of,
    signers_of,
    verify_signatures,
)
from decent_cloud.kernel.ids import AccountId, Digest, Kid

MAX_LINKS = 10_000
MAX_DEVICES = 64  # active at one time


@dataclass(frozen=True, slots=True)
class Pin:
    """The newest link a reader has seen of a chain."""

    seq: int
    head: Digest


@dataclass(frozen=True, slots=True)
class Member:
    """A device that is or was in the chain, from link `added_seq` until link `revoked_seq`."""

    device: Device
    added_seq: int
    revoked_seq: int | None = None

    def active_at(self, seq: int) -> bool:
        """Whether the device counted just after link `seq`."""
        return self.added_seq <= seq and (self.revoked_seq is None or seq < self.revoked_seq)


@dataclass(frozen=True, slots=True)
class Generation:
    """A seed generation: its number, its public X25519 key, and the link that began it."""

    number: int
    key: bytes
    since_seq: int


@dataclass(frozen=True, slots=True)
class ChainState:
    """What a verified chain says; immutable, extended by one link at a time."""

    account_id: AccountId
    links: tuple[Digest, ...]
    members: Mapping[Kid, Member]
    generations: tuple[Generation, ...]

    @property
    def seq(self) -> int:
        return len(self.links) - 1

    @property
    def head(self) -> Digest:
        return self.links[-1]

    @property
    def pin(self) -> Pin:
        return Pin(self.seq, self.head)

    @property
    def next_place(self) -> Place:
        """Where the next link goes."""
        return Place(self.account_id, self.seq + 1, self.head)

    @property
    def generation(self) -> Generation:
        """The newest generation: the one to seal to."""
        return self.generations[-1]

    def active(self) -> Iterator[Device]:
        return (one.device for one in self.members.values() if one.revoked_seq is None)

    def device(self, kid: Kid) -> Device | None:
        """Return the active device of this id."""
        member = self.members.get(kid)
        return member.device if member and member.revoked_seq is None else None

    def check_contains(self, pin: Pin) -> None:
        """Check that link `pin.seq` of this chain is the one that the pin names.

        Errors: `UnknownHead` when this copy ends earlier, `Forked` when the link is another.
        """
        if pin.seq > self.seq:
            raise UnknownHead
        if self.links[pin.seq] != pin.head:
            raise Forked


def verify_chain(
    statements: Iterable[Statement],
    *,
    account_id: AccountId | None = None,
    pin: Pin | None = None,
) -> ChainState:
    """Verify a whole chain from its first link on.

    Errors: any `KeyRefused`; `WrongAccount` when it is not the account's that was asked for,
    `RolledBack` or `Forked` when it contradicts the pin.
    """
    links = iter(statements)
    first = next(links, None)
    if first is None:
        raise ChainRule("a chain has a first link")
    state = begin(first)
    if account_id is not None and state.account_id != account_id:
        raise WrongAccount
    for statement in links:
        state = extend(state, statement)
    if pin is not None:
        check_pin(state, pin)
    return state


def check_pin(state: ChainState, pin: Pin) -> None:
    """Check a chain against the newest link seen before.

    Errors: `RolledBack` when it is shorter, `Forked` when that link is another.
    """
    if state.seq < pin.seq:
        raise RolledBack
    state.check_contains(pin)


def begin(statement: Statement) -> ChainState:
    """Verify a first link and return the state of a chain of one.

    Errors: any `KeyRefused`.
    """
    link = parse_link(statement.payload)
    if not isinstance(link, Genesis):
        raise WrongSequence("a chain begins with a genesis link")
    listed = {device.kid: device for device in link.devices}
    if len(listed) != len(link.devices):
        raise ChainRule("a device is listed twice")
    if len(listed) > MAX_DEVICES:
        raise ChainRule("too many devices")
    if not any(device.is_admin for device in listed.values()):
        raise ChainRule("a chain needs a device of rank 0 or 1")
    if signers_of(statement) != listed.keys():
        raise WrongSigner("every listed device signs, and nobody else")
    verify_signatures(StatementType.LINK, statement, listed)
    head = digest_of(StatementType.LINK, statement.payload)
    return ChainState(
        account_id=AccountId(head),
        links=(head,),
        members=MappingProxyType({kid: Member(device, 0) for kid, device in listed.items()}),
        generations=(Generation(1, link.generation_key, 0),),
    )


def extend(state: ChainState, statement: Statement) -> ChainState:
    """Verify the next link and return the state after it; `state` itself stays as it is.

    Errors: any `KeyRefused`; a refused link changes nothing.
    """
    link = parse_link(statement.payload)
    if isinstance(link, Genesis):
        raise WrongSequence("a genesis link is the first one")
    if link.place.account_id != state.account_id:
        raise WrongAccount
    if link.place.seq != state.seq + 1:
        raise WrongSequence
    if link.place.prev != state.head:
        raise Forked
    if link.place.seq >= MAX_LINKS:
        raise ChainRule("too many links")
    active = {device.kid: device for device in state.active()}
    signers = signers_of(statement)
    if isinstance(link, Add):
        _check_add(state, active, link, signers)
        verify_signatures(StatementType.LINK, statement, {**active, link.device.kid: link.device})
        after = _add(state, link)
    else:
        _check_rotate(state, active, link, signers)
        verify_signatures(StatementType.LINK, statement, active)
        after = _rotate(state, link)
    return replace(after, links=(*state.links, digest_of(StatementType.LINK, statement.payload)))


def _admin_ranks(active: Mapping[Kid, Device], signers: Iterable[Kid]) -> list[Rank]:
    """Return the ranks that count: rank-2 signers are verified, but decide nothing."""
    devices = (active[kid] for kid in signers if kid in active)
    ranks = [device.rank for device in devices if device.is_admin]
    if not ranks:
        raise WrongSigner("an active device of rank 0 or 1 signs")
    return ranks


def _check_add(
    state: ChainState, active: Mapping[Kid, Device], link: Add, signers: frozenset[Kid]
) -> None:
    kid = link.device.kid
    if kid in state.members:
        raise ChainRule("this device was in the chain before")
    if len(active) >= MAX_DEVICES:
        raise ChainRule("too many devices")
    if kid not in signers:
        raise WrongSigner("the new device signs too")
    ranks = _admin_ranks(active, signers)
    minted = link.device.rank is Rank.RECOVERY
    if minted and Rank.RECOVERY not in ranks and len(ranks) < 2:
        raise ChainRule("a new rank 0 needs a rank 0 or two of rank 1")


def _check_rotate(
    state: ChainState, active: Mapping[Kid, Device], link: Rotate, signers: frozenset[Kid]
) -> None:
    revoked = frozenset(link.revoke)
    best = min(_admin_ranks(active, signers))
    if not revoked <= active.keys():
        raise ChainRule("only an active device can be revoked")
    if any(active[kid].rank < best for kid in revoked):
        raise ChainRule("a stronger device cannot be revoked")
    if not any(device.is_admin for kid, device in active.items() if kid not in revoked):
        raise ChainRule("a device of rank 0 or 1 must remain")
    if link.generation != state.generation.number + 1:
        raise ChainRule("the generation is not the next one")
    if any(link.generation_key == known.key for known in state.generations):
        raise ChainRule("the generation key was used before")


def _add(state: ChainState, link: Add) -> ChainState:
    member = Member(link.device, link.place.seq)
    members = MappingProxyType({**state.members, link.device.kid: member})
    return replace(state, members=members)


def _rotate(state: ChainState, link: Rotate) -> ChainState:
    seq = link.place.seq
    members = dict(state.members)
    for kid in link.revoke:
        members[kid] = replace(members[kid], revoked_seq=seq)
    generation = Generation(link.generation, link.generation_key, seq)
    return replace(
        state,
        members=MappingProxyType(members),
        generations=(*state.generations, generation),
    )
