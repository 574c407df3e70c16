"""Devices: what holds keys, as the secret half on the device and the public form in a chain."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from decent_cloud.domain.keys import b64u, hpke, kdf
from decent_cloud.domain.keys.canonical import Json
from decent_cloud.domain.keys.errors import BadShape
from decent_cloud.domain.keys.fields import KID_BYTES, Fields
from decent_cloud.domain.keys.points import KEY_BYTES, check_ed25519_key, check_x25519_key
from decent_cloud.kernel.ids import Kid

SEED_BYTES = 32


class DeviceType(StrEnum):
    BROWSER = "browser"
    CLI = "cli"
    PHONE = "phone"
    RECOVERY = "recovery"
    PASSKEY = "passkey"
    AGENT = "agent"


class Rank(IntEnum):
    """Lower is stronger: a device cannot revoke a device of a lower number."""

    RECOVERY = 0
    ORDINARY = 1
    READER = 2


_TYPES = frozenset(DeviceType)


@dataclass(frozen=True, slots=True)
class Device:
    """The public form of a device, as it stands in a chain; `enc` is X25519, `sig` is Ed25519."""

    kid: Kid
    type: DeviceType
    rank: Rank
    enc: bytes
    sig: bytes

    @property
    def is_admin(self) -> bool:
        """Whether the device may change the chain."""
        return self.rank is not Rank.READER

    @property
    def is_agent(self) -> bool:
        return self.type is DeviceType.AGENT

    def to_json(self) -> dict[str, Json]:
        return {
            "enc": b64u.encode(self.enc),
            "kid": self.kid,
            "r": int(self.rank),
            "sig": b64u.encode(self.sig),
            "t": str(self.type),
        }


def kid_of(sig: bytes, enc: bytes) -> Kid:
    """Return the id of a device with these public keys."""
    return Kid(b64u.encode(sha256(b"dcx/kid/v1\0" + sig + enc).digest()[:KID_BYTES]))


def device_of(sig: bytes, enc: bytes, device_type: DeviceType, rank: int) -> Device:
    """Return the public form for two public keys, also of a device whose secrets are elsewhere.

    Errors: `BadPoint`; `BadShape` for an agent of another rank than 2.
    """
    check_ed25519_key(sig)
    check_x25519_key(enc)
    if device_type is DeviceType.AGENT and rank != Rank.READER:
        raise BadShape("an agent has rank 2")
    return Device(kid_of(sig, enc), device_type, Rank(rank), enc, sig)


def parse_device(value: object) -> Device:
    """Read the public form out of a chain link.

    Errors: `BadShape`, `NotCanonical`, `BadPoint`.
    """
    fields = Fields(value, ("enc", "kid", "r", "sig", "t"))
    device_type = DeviceType(fields.choice("t", _TYPES))
    rank = fields.integer("r", Rank.RECOVERY, Rank.READER)
    enc, sig = fields.raw("enc", KEY_BYTES), fields.raw("sig", KEY_BYTES)
    device = device_of(sig, enc, device_type, rank)
    if fields.kid("kid") != device.kid:
        raise BadShape("kid does not belong to these keys")
    return device


class DeviceKeys:
    """The secret half of a device: signs statements and opens what is sealed to it."""

    __slots__ = ("_ed", "_x", "enc", "kid", "sig")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise BadShape("a device seed has 32 bytes")
        # Two independent keys from one seed, never one converted into the other.
        ed = Ed25519PrivateKey.from_private_bytes(kdf.derive(seed, "dcx/dev/ed25519/v1"))
        x = X25519PrivateKey.from_private_bytes(kdf.derive(seed, "dcx/dev/x25519/v1"))
        self._ed, self._x = ed, x
        self.sig = ed.public_key().public_bytes_raw()
        self.enc = x.public_key().public_bytes_raw()
        self.kid = kid_of(self.sig, self.enc)

    def __repr__(self) -> str:
        return f"DeviceKeys({self.kid})"

    def public(self, device_type: DeviceType, rank: int) -> Device:
        return device_of(self.sig, self.enc, device_type, rank)

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature of these bytes as they are."""
        return self._ed.sign(message)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Return what was sealed to this device for this context.

        Errors: `CannotOpen`.
        """
        return hpke.open_sealed(sealed, self._x, context)

    @property
    def ed25519(self) -> Ed25519PrivateKey:
        """The signing key itself, for a library that signs requests with it."""
        return self._ed
