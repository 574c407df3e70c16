"""What an account is: a key chain, its devices, and a few public or personal words."""

from __future__ import annotations

from dataclasses import dataclass

from decent_cloud.kernel.ids import AccountId, Kid


@dataclass(frozen=True, slots=True)
class Account:
    """A person or company; `seq` and `head` (hex) are the end of its chain."""

    id: AccountId
    seq: int
    head: str
    admin: bool
    created_at_ms: int
    version: int = 1


@dataclass(frozen=True, slots=True)
class Device:
    """A device of an account, as the chain says: a projection for fast look-up, rebuilt with each
    link.
    """

    account: AccountId
    kid: Kid
    sig_hex: str  # Ed25519 public key
    enc_hex: str  # X25519 public key
    rank: int
    type: str
    active: bool
    since_seq: int


@dataclass(frozen=True, slots=True)
class Link:
    """One accepted link: `statement` is the JSON of the envelope, byte for byte."""

    account: AccountId
    seq: int
    hash: str
    statement: str
    added_at_ms: int


@dataclass(frozen=True, slots=True)
class SeedBox:
    """The account seed of a generation, sealed to one device (b64u)."""

    account: AccountId
    kid: Kid
    gen: int
    box: str


@dataclass(frozen=True, slots=True)
class OldSeed:
    """The seed of generation gen-1, sealed under generation `gen` (b64u)."""

    account: AccountId
    gen: int
    box: str


@dataclass(frozen=True, slots=True)
class Profile:
    """Personal fields; stored encrypted under the account's own data key, never logged."""

    display_name: str = ""
    email: str = ""
