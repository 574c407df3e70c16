"""Accounts as the API knows them, and how a new one is made."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from decent_cloud.client.statements import to_wire
from decent_cloud.client.transport import Transport
from decent_cloud.domain.keys import b64u
from decent_cloud.domain.keys.chain import ChainState, begin
from decent_cloud.domain.keys.devices import SEED_BYTES, DeviceKeys, DeviceType, Rank
from decent_cloud.domain.keys.errors import CannotOpen
from decent_cloud.domain.keys.links import SALT_BYTES, build_genesis
from decent_cloud.domain.keys.recovery import ENTROPY_BYTES, seed_from_words, words_of
from decent_cloud.domain.keys.seeds import AccountSeed, open_seed_box, seal_seed, walk_back
from decent_cloud.kernel.ids import AccountId
from decent_cloud.wire.v1.accounts import (
    AccountView,
    AppendLink,
    BalancesView,
    BoxesView,
    ChainView,
    CreateAccount,
    PlatformView,
    SeedBoxWire,
    SetProfile,
    TrialBalanceView,
)


class AccountsApi:
    """The routes of accounts; each may raise ApiProblem, Unreachable or BadAnswer."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def platform(self) -> PlatformView:
        """Return who the platform says it is."""
        return self._transport.get("/platform", PlatformView)

    def create(self, body: CreateAccount) -> AccountView:
        """Begin an account."""
        return self._transport.write("POST", "/accounts", AccountView, body)

    def me(self) -> AccountView:
        """Return the calling device's account."""
        return self._transport.get("/accounts/me", AccountView)

    def set_profile(self, body: SetProfile) -> AccountView:
        """Replace the personal fields."""
        return self._transport.write("PUT", "/accounts/me/profile", AccountView, body)

    def chain(self, account: AccountId) -> ChainView:
        """Return a chain as the platform serves it; verify it."""
        return self._transport.get(f"/accounts/{account}/chain", ChainView)

    def append(self, body: AppendLink) -> AccountView:
        """Extend the calling device's chain."""
        return self._transport.write("POST", "/accounts/me/chain", AccountView, body)

    def boxes(self) -> BoxesView:
        """Return the sealed account seeds that the calling device can open."""
        return self._transport.get("/accounts/me/boxes", BoxesView)

    def balances(self) -> BalancesView:
        """Return what the ledger holds in the caller's name."""
        return self._transport.get("/accounts/me/balances", BalancesView)

    def trial_balance(self) -> TrialBalanceView:
        """Return the ledger's proof, as an admin."""
        return self._transport.get("/admin/trial-balance", TrialBalanceView)


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account that exists here and nowhere else yet, with its secrets."""

    chain: ChainState
    keys: DeviceKeys
    request: CreateAccount
    device_seed: bytes = field(repr=False)
    words: str = field(repr=False)


def new_account() -> NewAccount:
    """Make a device for this command line, a recovery device with twelve words, and their account.

    Takes about 0.6 s, for the words.
    """
    device_seed = secrets.token_bytes(SEED_BYTES)
    keys = DeviceKeys(device_seed)
    words = words_of(secrets.token_bytes(ENTROPY_BYTES))
    recovery = DeviceKeys(seed_from_words(words))
    members = [
        (keys.public(DeviceType.CLI, Rank.ORDINARY), keys),
        (recovery.public(DeviceType.RECOVERY, Rank.RECOVERY), recovery),
    ]
    seed = AccountSeed(1, secrets.token_bytes(SEED_BYTES))
    genesis = build_genesis(members, seed.public, secrets.token_bytes(SALT_BYTES))
    chain = begin(genesis)
    boxes = tuple(
        SeedBoxWire(
            kid=device.kid, gen=1, box=b64u.encode(seal_seed(seed, chain.account_id, device))
        )
        for device, _ in members
    )
    request = CreateAccount(genesis=to_wire(genesis), boxes=boxes)
    return NewAccount(chain, keys, request, device_seed, words)


def open_seeds(view: BoxesView, keys: DeviceKeys, chain: ChainState) -> dict[int, AccountSeed]:
    """Open this device's newest seed box and walk back to the first generation.

    Errors: CannotOpen, also where there is no box for this device.
    """
    mine = [box for box in view.boxes if box.kid == keys.kid]
    newest = max(mine, key=lambda box: box.gen, default=None)
    if newest is None:
        raise CannotOpen("the platform holds no seed box for this device")
    seed = open_seed_box(b64u.decode(newest.box), keys, chain, newest.gen)
    # The platform names an old seed by the generation it is sealed under.
    old_seeds = {int(gen) - 1: b64u.decode(box) for gen, box in view.old_seeds.items()}
    return walk_back(seed, old_seeds, chain)
