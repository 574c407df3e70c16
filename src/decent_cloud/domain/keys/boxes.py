"""What sealed boxes of a contract share: padding that hides their size, and the context they are bound to."""

from __future__ import annotations

from decent_cloud.domain.keys import b64u
from decent_cloud.domain.keys.errors import CannotOpen
from decent_cloud.kernel.ids import AccountId, Digest

BLOCK_BYTES = 1024
_LENGTH_BYTES = 4


def pad(inner: bytes) -> bytes:
    """Return the bytes with their length in front and zeros behind, in steps of 1 KiB."""
    length = _LENGTH_BYTES + len(inner)
    # Sizes in steps of 1 KiB: the server learns only the step.
    return len(inner).to_bytes(_LENGTH_BYTES, "big") + inner + bytes(-length % BLOCK_BYTES)


def unpad(padded: bytes) -> bytes:
    """Return what was padded. Errors: `CannotOpen` for a length that does not fit, or other padding."""
    end = _LENGTH_BYTES + int.from_bytes(padded[:_LENGTH_BYTES], "big")
    if len(padded) < end or any(padded[end:]):
        raise CannotOpen
    return padded[_LENGTH_BYTES:end]


def box_context(
    label: bytes, account_id: AccountId, generation: int, contract: Digest, number: int
) -> bytes:
    """Return the HPKE info of a contract's box; `label` says of which kind, so that none is taken for another."""
    return (
        label
        + b64u.hash_bytes(account_id)
        + generation.to_bytes(4, "big")
        + b64u.hash_bytes(contract)
        + number.to_bytes(4, "big")
    )
