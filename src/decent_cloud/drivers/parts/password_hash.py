"""SHA-512 crypt hashes (`$6$`) for /etc/shadow; Python has no crypt module any more.

Source: Ulrich Drepper, "Unix crypt using SHA-256 and SHA-512", the numbered steps of which the
comments name.
"""

from __future__ import annotations

import hashlib
import secrets

_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ROUNDS = 5_000
_SALT_LENGTH = 16


def hash_password(password: str, salt: str = "") -> str:
    """Return the shadow field for a password; the salt is random unless given (16 characters)."""
    salt = salt or "".join(secrets.choice(_ALPHABET) for _ in range(_SALT_LENGTH))
    word, grain = password.encode(), salt.encode()[:_SALT_LENGTH]
    digest = _first_digest(word, grain)
    word_row = _stretch(hashlib.sha512(word * len(word)).digest(), len(word))  # 13-16
    grain_row = _stretch(hashlib.sha512(grain * (16 + digest[0])).digest(), len(grain))  # 17-20
    for round_ in range(_ROUNDS):  # 21
        odd = round_ & 1
        parts = word_row if odd else digest
        parts += grain_row if round_ % 3 else b""
        parts += word_row if round_ % 7 else b""
        parts += digest if odd else word_row
        digest = hashlib.sha512(parts).digest()
    return f"$6${grain.decode()}${_encode(digest)}"


def _first_digest(word: bytes, grain: bytes) -> bytes:
    """Take steps 1 to 12."""
    other = hashlib.sha512(word + grain + word).digest()
    mixed = word + grain + _stretch(other, len(word))
    length = len(word)
    while length:
        mixed += other if length & 1 else word
        length >>= 1
    return hashlib.sha512(mixed).digest()


def _stretch(block: bytes, length: int) -> bytes:
    return (block * (length // 64 + 1))[:length]


def _encode(digest: bytes) -> str:
    """Write 64 bytes in the order and alphabet of step 22."""
    text = ""
    first, second, third = 0, 21, 42
    for _ in range(21):
        number = digest[first] << 16 | digest[second] << 8 | digest[third]
        text += _letters(number, 4)
        first, second, third = second + 1, third + 1, first + 1
    return text + _letters(digest[63], 2)


def _letters(number: int, count: int) -> str:
    return "".join(_ALPHABET[number >> (6 * place) & 63] for place in range(count))
