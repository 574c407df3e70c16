"""Pairing: the 20-character code that links a new device, and the messages sealed under it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from enum import StrEnum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from decent_cloud.domain.keys import b64u, canonical, kdf
from decent_cloud.domain.keys.canonical import Json
from decent_cloud.domain.keys.chain import ChainState, Pin, check_pin
from decent_cloud.domain.keys.errors import BadPairing, KeyRefused, WrongAccount
from decent_cloud.domain.keys.fields import Fields
from decent_cloud.domain.keys.statements import Statement, statement_from_json
from decent_cloud.kernel.ids import AccountId

CODE_BYTES = 13
CODE_CHARACTERS = 20
_CODE_BITS = 100
_SPARE_BITS = 8 * CODE_BYTES - _CODE_BITS
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_READING = str.maketrans("OIL", "011", "- \t\r\n")
_GROUP = 5
_RID_BYTES = 16
_NONCE_BYTES = 12
_MAX_MESSAGE_CHARACTERS = 128 * 1024


class Side(StrEnum):
    """Who sends: the trusted device that made the code, or the new one it was typed on."""

    OLD = "old"
    NEW = "new"


@dataclass(frozen=True, slots=True)
class PairingCode:
    """100 random bits, as 13 bytes big-endian; usable once and for a short time."""

    value: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """The code as it is shown, in fives."""
        number = int.from_bytes(self.value, "big")
        shifts = range(_CODE_BITS - _GROUP, -1, -_GROUP)
        characters = "".join(_ALPHABET[number >> shift & 31] for shift in shifts)
        return "-".join(characters[at : at + 5] for at in range(0, CODE_CHARACTERS, 5))

    @property
    def rid(self) -> str:
        """The relay's name for this pairing, lower-case hex; it does not give the code away."""
        return self._rid().hex()

    def key(self, sender: Side) -> bytes:
        return kdf.derive(self.value, f"dcx/pair/{sender}/v1")

    def _rid(self) -> bytes:
        return kdf.derive(self.value, "dcx/pair/rid/v1")[:_RID_BYTES]

    def seal(self, sender: Side, message: Json) -> str:
        """Return the message as text for the relay."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        cipher = ChaCha20Poly1305(self.key(sender))
        return b64u.encode(nonce + cipher.encrypt(nonce, canonical.write(message), self._rid()))

    def open(self, sender: Side, text: str) -> Json:
        """Return the message that `sender` sealed under this code.

        Errors: `BadPairing` for another code, the other sender, or one changed bit.
        """
        if len(text) > _MAX_MESSAGE_CHARACTERS:
            raise BadPairing
        try:
            sealed = b64u.decode(text)
            nonce, box = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
            plain = ChaCha20Poly1305(self.key(sender)).decrypt(nonce, box, self._rid())
            return canonical.parse(plain)
        except (InvalidTag, ValueError, KeyRefused):
            raise BadPairing from None


@dataclass(frozen=True, slots=True)
class Invitation:
    """The old device's message: which account, and its chain as the old device sees it."""

    account_id: AccountId
    pin: Pin

    def check(self, chain: ChainState) -> None:
        """Refuse a chain that is not the one the old device saw; it may have grown since.

        Errors: `WrongAccount`, `RolledBack`, `Forked`.
        """
        if chain.account_id != self.account_id:
            raise WrongAccount
        check_pin(chain, self.pin)


def code_from_random(random_bytes: bytes) -> PairingCode:
    """Return the code of 13 random bytes, whose lowest four bits are dropped.

    Errors: `BadPairing` for another length.
    """
    if len(random_bytes) != CODE_BYTES:
        raise BadPairing("a code comes from 13 bytes")
    number = int.from_bytes(random_bytes, "big") >> _SPARE_BITS
    return PairingCode(number.to_bytes(CODE_BYTES, "big"))


def parse_code(text: str) -> PairingCode:
    """Read a typed code: any case, blanks and dashes anywhere, O for 0, I and L for 1.

    Errors: `BadPairing`.
    """
    characters = text.upper().translate(_READING)
    if len(characters) != CODE_CHARACTERS or any(one not in _ALPHABET for one in characters):
        raise BadPairing("a pairing code has 20 letters and digits")
    number = 0
    for one in characters:
        number = number << _GROUP | _ALPHABET.index(one)
    return PairingCode(number.to_bytes(CODE_BYTES, "big"))


def seal_invitation(code: PairingCode, chain: ChainState) -> str:
    """Return the old device's message for the relay."""
    return code.seal(
        Side.OLD,
        {
            "acct": b64u.from_hex(chain.account_id),
            "head": b64u.from_hex(chain.head),
            "seq": chain.seq,
        },
    )


def open_invitation(code: PairingCode, text: str) -> Invitation:
    """Read the old device's message; `Invitation.check` then judges the chain that was served.

    Errors: `BadPairing`, `BadShape`, `NotCanonical`.
    """
    fields = Fields(code.open(Side.OLD, text), ("acct", "head", "seq"))
    return Invitation(fields.account("acct"), Pin(fields.count("seq"), fields.digest("head")))


def seal_join(code: PairingCode, link: Statement) -> str:
    """Return the new device's message: the `add` link that it has signed."""
    return code.seal(Side.NEW, link.to_json())


def open_join(code: PairingCode, text: str) -> Statement:
    """Read the new device's link; cosigning and `extend` verify it.

    Errors: `BadPairing`, `BadShape`, `NotCanonical`.
    """
    return statement_from_json(code.open(Side.NEW, text))
