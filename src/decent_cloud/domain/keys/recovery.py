"""Seeds that come from elsewhere than chance: twelve recovery words and a passkey's secret."""

from __future__ import annotations

from functools import cache

from mnemonic import Mnemonic

from decent_cloud.domain.keys import kdf
from decent_cloud.domain.keys.errors import BadWords, CannotOpen

ENTROPY_BYTES = 16
WORD_COUNT = 12
PRF_INPUT = b"dcx/prf/v1"
PRF_BYTES = 32


@cache
def _bip39() -> Mnemonic:
    return Mnemonic("english")


def words_of(entropy: bytes) -> str:
    """Return the twelve BIP39 words of 16 random bytes.

    Errors: `BadWords` for another length.
    """
    if len(entropy) != ENTROPY_BYTES:
        raise BadWords("recovery words come from 16 bytes")
    return _bip39().to_mnemonic(entropy)


def entropy_of(words: str) -> bytes:
    """Return the 16 bytes behind twelve words, in any case and with any blanks between them.

    Errors: `BadWords`, without saying which word is wrong.
    """
    tokens = words.lower().split()
    if len(tokens) != WORD_COUNT:
        raise BadWords
    try:
        return bytes(_bip39().to_entropy(tokens))
    except (ValueError, LookupError):
        # Without the cause: its text repeats a word.
        raise BadWords from None


def seed_from_words(words: str) -> bytes:
    """Return the recovery device's seed; takes about 0.6 s.

    Errors: `BadWords`.
    """
    return kdf.stretch(entropy_of(words))


def seed_from_passkey(prf_output: bytes) -> bytes:
    """Return a passkey device's seed from the authenticator's answer to `PRF_INPUT`.

    Errors: `CannotOpen` for another length than 32 bytes.
    """
    if len(prf_output) != PRF_BYTES:
        raise CannotOpen("this passkey cannot unlock the account")
    return kdf.derive(prf_output, "dcx/dev/passkey/v1")
