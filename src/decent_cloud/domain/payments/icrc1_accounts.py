"""ICRC-1 accounts: their one text form, read strictly, and which of them may be paid."""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from dataclasses import dataclass

from decent_cloud.kernel.errors import Invalid

SUBACCOUNT_BYTES = 32
MAX_PRINCIPAL_BYTES = 29
NO_SUBACCOUNT = bytes(SUBACCOUNT_BYTES)
ANONYMOUS = b"\x04"
MANAGEMENT = b""

_CRC_BYTES = 4
_GROUP = 5
_PRINCIPAL = re.compile(r"[a-z2-7]{1,5}(-[a-z2-7]{1,5})*")
_ACCOUNT_IDENTIFIER = re.compile(r"(0x)?[0-9a-fA-F]{64}")


class BadPayoutAccount(Invalid):
    """This is not an ICRC-1 account that can be paid."""

    code = "bad_payout_account"

    def __init__(self, message: str) -> None:
        """Say what is wrong with it; the field is always `address`."""
        super().__init__(message, field="address")


@dataclass(frozen=True, slots=True)
class Icrc1Account:
    """Whom a ledger knows: `owner` is a principal's bytes; no subaccount and 32 zero bytes are one account."""

    owner: bytes
    subaccount: bytes = NO_SUBACCOUNT

    def __post_init__(self) -> None:
        if len(self.owner) > MAX_PRINCIPAL_BYTES:
            raise BadPayoutAccount(f"a principal has at most {MAX_PRINCIPAL_BYTES} bytes")
        if len(self.subaccount) != SUBACCOUNT_BYTES:
            raise BadPayoutAccount(f"a subaccount has {SUBACCOUNT_BYTES} bytes")

    def __str__(self) -> str:
        return account_text(self)

    def identifier(self) -> bytes:
        """Return the ICP ledger's 32-byte account identifier; it stands for the account in any log."""
        body = hashlib.sha224(b"\x0aaccount-id" + self.owner + self.subaccount).digest()
        return zlib.crc32(body).to_bytes(_CRC_BYTES, "big") + body


def principal_text(principal: bytes) -> str:
    """Write a principal as base32 of checksum and bytes, in groups of five."""
    raw = zlib.crc32(principal).to_bytes(_CRC_BYTES, "big") + principal
    letters = _base32(raw)
    return "-".join(letters[at : at + _GROUP] for at in range(0, len(letters), _GROUP))


def parse_principal(text: str) -> bytes:
    """Read a principal in its one text form. Errors: BadPayoutAccount."""
    if not _PRINCIPAL.fullmatch(text):
        raise BadPayoutAccount("a principal is lower-case letters and digits in groups of five")
    letters = text.replace("-", "").upper()
    try:
        raw = base64.b32decode(letters + "=" * (-len(letters) % 8))
    except ValueError as error:
        raise BadPayoutAccount("a principal is written in base32") from error
    principal = raw[_CRC_BYTES:]
    if len(raw) < _CRC_BYTES or len(principal) > MAX_PRINCIPAL_BYTES:
        raise BadPayoutAccount(f"a principal has at most {MAX_PRINCIPAL_BYTES} bytes")
    if principal_text(principal) != text:
        raise BadPayoutAccount("the principal's checksum does not fit: a letter is wrong")
    return principal


def account_text(account: Icrc1Account) -> str:
    """Write an account: the principal alone, or with checksum and subaccount when there is one."""
    owner = principal_text(account.owner)
    if account.subaccount == NO_SUBACCOUNT:
        return owner
    tail = account.subaccount.hex().lstrip("0")
    return f"{owner}-{_checksum(account)}.{tail}"


def parse_account(text: str) -> Icrc1Account:
    """Read an account in its one text form; whatever is not written back the same is refused.

    Errors: BadPayoutAccount. Source: the ICRC-1 standard's textual encoding.
    """
    if _ACCOUNT_IDENTIFIER.fullmatch(text):
        raise BadPayoutAccount(
            "this is an ICP account identifier (64 hex digits); give the ICRC-1 account instead: a principal, "
            "with a subaccount if need be"
        )
    head, dot, tail = text.partition(".")
    if not dot:
        return Icrc1Account(parse_principal(text))
    owner, dash, checksum = head.rpartition("-")
    if not dash or not re.fullmatch(r"[1-9a-f][0-9a-f]{0,63}", tail):
        raise BadPayoutAccount(
            "after the dot stands the subaccount in lower-case hex without leading zeros"
        )
    account = Icrc1Account(parse_principal(owner), bytes.fromhex(tail.zfill(64)))
    if checksum != _checksum(account):
        raise BadPayoutAccount("the account's checksum does not fit: a letter or digit is wrong")
    return account


@dataclass(frozen=True, slots=True)
class Unpayable:
    """What no payout may go to: the ledger itself, its minting account (that burns), our own wallets."""

    ledger: bytes
    own: frozenset[bytes]
    minting: Icrc1Account | None = None


def check_payee(account: Icrc1Account, unpayable: Unpayable) -> None:
    """Refuse accounts from which nobody, or only ourselves, could take the money. Errors: BadPayoutAccount."""
    if account.owner == ANONYMOUS:
        raise BadPayoutAccount("the anonymous principal belongs to everybody")
    if account.owner == MANAGEMENT:
        raise BadPayoutAccount("the management canister cannot hold tokens")
    if account.owner == unpayable.ledger:
        raise BadPayoutAccount("this is the ledger itself; tokens sent there are lost")
    if account == unpayable.minting:
        raise BadPayoutAccount("this is the ledger's minting account; tokens sent there are burnt")
    if account.owner in unpayable.own:
        raise BadPayoutAccount("this is a wallet of this platform")


def _checksum(account: Icrc1Account) -> str:
    return _base32(zlib.crc32(account.owner + account.subaccount).to_bytes(_CRC_BYTES, "big"))


def _base32(raw: bytes) -> str:
    return base64.b32encode(raw).decode("ascii").lower().rstrip("=")
