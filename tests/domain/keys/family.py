"""Ready-made accounts for the key tests: the tenant and the provider of the fixed values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from decent_cloud.domain.keys.chain import ChainState, begin, extend
from decent_cloud.domain.keys.devices import Device, DeviceKeys, DeviceType
from decent_cloud.domain.keys.links import build_add, build_genesis, build_rotate
from decent_cloud.domain.keys.recovery import seed_from_words
from decent_cloud.domain.keys.seeds import AccountSeed
from decent_cloud.domain.keys.statements import Statement
from tests.domain.keys.vectors import WORDS, named_seed


@cache
def recovery_seed() -> bytes:
    """Stretch the recovery words once for the whole run: it takes 0.6 s."""
    return seed_from_words(WORDS)


@dataclass(frozen=True)
class Holder:
    """A device with both halves at hand."""

    keys: DeviceKeys
    device: Device


def holder(name: str, kind: DeviceType = DeviceType.CLI, rank: int = 1) -> Holder:
    keys = DeviceKeys(named_seed(name))
    return Holder(keys, keys.public(kind, rank))


def account_seed(name: str, generation: int) -> AccountSeed:
    return AccountSeed(generation, named_seed(name))


def account(*holders: Holder, seed: str = "seed1", salt: int = 7) -> tuple[Statement, ChainState]:
    statement = build_genesis(
        [(one.device, one.keys) for one in holders],
        account_seed(seed, 1).public,
        bytes([salt]) * 16,
    )
    return statement, begin(statement)


def added(state: ChainState, new: Holder, *signers: Holder) -> Statement:
    keys = [one.keys for one in (*signers, new)]
    return build_add(state.next_place, new.device, keys)


def rotated(
    state: ChainState, *signers: Holder, revoke: tuple[Holder, ...] = (), seed: str = "next"
) -> Statement:
    number = state.generation.number + 1
    key = account_seed(f"{seed}{number}", number).public
    return build_rotate(
        state.next_place,
        [one.device.kid for one in revoke],
        (number, key),
        [one.keys for one in signers],
    )


@dataclass(frozen=True)
class Tenant:
    """The tenant of the fixed values: laptop and recovery words, then a CLI, then no laptop."""

    laptop: Holder
    recovery: Holder
    cli: Holder
    links: tuple[Statement, Statement, Statement]
    states: tuple[ChainState, ChainState, ChainState]

    @property
    def chain(self) -> ChainState:
        return self.states[-1]


@cache
def tenant() -> Tenant:
    laptop = holder("laptop", DeviceType.BROWSER)
    keys = DeviceKeys(recovery_seed())
    recovery = Holder(keys, keys.public(DeviceType.RECOVERY, 0))
    cli = holder("cli")
    first, state_0 = account(laptop, recovery)
    second = added(state_0, cli, laptop)
    state_1 = extend(state_0, second)
    third = build_rotate(
        state_1.next_place,
        [laptop.device.kid],
        (2, account_seed("seed2", 2).public),
        [recovery.keys],
    )
    return Tenant(
        laptop,
        recovery,
        cli,
        (first, second, third),
        (state_0, state_1, extend(state_1, third)),
    )


@dataclass(frozen=True)
class Provider:
    admin: Holder
    agent: Holder
    genesis: Statement
    chain: ChainState


@cache
def provider() -> Provider:
    admin = holder("provider")
    agent = holder("agent", DeviceType.AGENT, 2)
    genesis, chain = account(admin, agent, seed="pseed", salt=9)
    return Provider(admin, agent, genesis, chain)
