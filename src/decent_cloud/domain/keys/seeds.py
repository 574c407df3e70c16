"""Account seeds: one per generation, sealed to each device, the older ones under the newer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from decent_cloud.domain.keys import b64u, hpke, kdf
from decent_cloud.domain.keys.chain import ChainState
from decent_cloud.domain.keys.devices import SEED_BYTES, Device, DeviceKeys
from decent_cloud.domain.keys.errors import BadShape, CannotOpen, ChainRule
from decent_cloud.kernel.ids import AccountId, Kid

SEED_BOX_BYTES = SEED_BYTES + hpke.OVERHEAD_BYTES
OLD_SEED_BYTES = SEED_BYTES + 16
_ONE_NONCE = bytes(12)  # the key is used once


@dataclass(frozen=True, slots=True)
class AccountSeed:
    """The secret of one seed generation, counted from 1; it opens what is sealed to the account."""

    generation: int
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != SEED_BYTES:
            raise BadShape("an account seed has 32 bytes")

    @property
    def public(self) -> bytes:
        """The X25519 key that the chain names for this generation."""
        return self._key().public_key().public_bytes_raw()

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Return what was sealed to this generation for this context.

        Errors: `CannotOpen`.
        """
        return hpke.open_sealed(sealed, self._key(), context)

    def _key(self) -> X25519PrivateKey:
        return X25519PrivateKey.from_private_bytes(kdf.derive(self.secret, "dcx/acct/x25519/v1"))


def seal_seed(seed: AccountSeed, account_id: AccountId, device: Device) -> bytes:
    """Return the 80-byte seed box for one device."""
    return hpke.seal(seed.secret, device.enc, _box_context(account_id, seed.generation, device.kid))


def open_seed_box(box: bytes, keys: DeviceKeys, chain: ChainState, generation: int) -> AccountSeed:
    """Open this device's box and check the seed against the chain.

    Errors: `CannotOpen`, also for a seed that is not the chain's.
    """
    context = _box_context(chain.account_id, generation, keys.kid)
    return _checked(AccountSeed(generation, _sized(keys.open(box, context))), chain)


def seal_old_seed(old: AccountSeed, newer: AccountSeed, account_id: AccountId) -> bytes:
    """Return the 48 bytes by which who has `newer` finds the generation before it."""
    if newer.generation != old.generation + 1:
        raise BadShape("the old seed is of the generation before")
    aad = _old_context(account_id, old.generation)
    return _old_cipher(newer).encrypt(_ONE_NONCE, old.secret, aad)


def open_old_seed(sealed: bytes, newer: AccountSeed, chain: ChainState) -> AccountSeed:
    """Return the seed of the generation before `newer`, checked against the chain.

    Errors: `CannotOpen`.
    """
    generation = newer.generation - 1
    aad = _old_context(chain.account_id, generation)
    try:
        secret = _old_cipher(newer).decrypt(_ONE_NONCE, sealed, aad)
    except InvalidTag:
        raise CannotOpen from None
    return _checked(AccountSeed(generation, _sized(secret)), chain)


def walk_back(
    newest: AccountSeed, old_seeds: Mapping[int, bytes], chain: ChainState
) -> dict[int, AccountSeed]:
    """Return every seed down to generation 1; `old_seeds[g]` holds seed `g` under seed `g + 1`.

    Errors: `CannotOpen`, also for a missing one.
    """
    seeds = {newest.generation: newest}
    for generation in range(newest.generation - 1, 0, -1):
        if generation not in old_seeds:
            raise CannotOpen
        seeds[generation] = open_old_seed(old_seeds[generation], seeds[generation + 1], chain)
    return seeds


def required_boxes(chain: ChainState) -> frozenset[Kid]:
    """Return for which devices a seed box comes with the chain's last link.

    All active devices when the link began a generation, else the added one; never an agent.
    """
    rotated = chain.generation.since_seq == chain.seq
    return frozenset(
        member.device.kid
        for member in chain.members.values()
        if member.revoked_seq is None
        and not member.device.is_agent
        and (rotated or member.added_seq == chain.seq)
    )


def check_boxes(chain: ChainState, boxes: Mapping[Kid, bytes], old_seed: bytes | None) -> None:
    """Check that what is posted with the chain's last link is complete; contents stay sealed.

    Errors: `ChainRule` for a missing, unasked or misshapen box or old seed.
    """
    if boxes.keys() != required_boxes(chain):
        raise ChainRule("a seed box is missing, or one too many")
    if any(len(box) != SEED_BOX_BYTES for box in boxes.values()):
        raise ChainRule("a seed box has 80 bytes")
    rotated = chain.generation.since_seq == chain.seq > 0
    if (old_seed is not None) != rotated:
        raise ChainRule("the old seed comes with a rotation, and only then")
    if old_seed is not None and len(old_seed) != OLD_SEED_BYTES:
        raise ChainRule("an old seed has 48 bytes")


def _checked(seed: AccountSeed, chain: ChainState) -> AccountSeed:
    known = {one.number: one.key for one in chain.generations}
    if known.get(seed.generation) != seed.public:
        raise CannotOpen
    return seed


def _sized(secret: bytes) -> bytes:
    if len(secret) != SEED_BYTES:
        raise CannotOpen
    return secret


def _box_context(account_id: AccountId, generation: int, kid: Kid) -> bytes:
    return (
        b"dcx/seedbox/v1\0"
        + b64u.hash_bytes(account_id)
        + generation.to_bytes(4, "big")
        + b64u.decode(kid)
    )


def _old_cipher(newer: AccountSeed) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(kdf.derive(newer.secret, "dcx/acct/prev/v1"))


def _old_context(account_id: AccountId, generation: int) -> bytes:
    return b64u.hash_bytes(account_id) + generation.to_bytes(4, "big")
