"""What the HTTP edge must remember: nonces of signed requests and answers by idempotency key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The answer given under an idempotency key, and the hash of method, path and raw body it
    answers.
    """

    caller: str
    key: str
    request_hash: str
    status: int
    body: str
    created_at_ms: int


class Requests(Protocol):
    """Nonces and idempotent answers."""

    def use_nonce(self, keyid: str, nonce: str, expires_at_ms: int) -> bool:
        """Remember a nonce; False if it was used before."""
        ...

    def answer(self, caller: str, key: str) -> StoredAnswer | None:
        """Return the answer stored under a key."""
        ...

    def store_answer(self, answer: StoredAnswer) -> None:
        """Store an answer in the transaction of its effect; AlreadyExists if the key is taken."""
        ...

    def drop_before(self, nonces_expired_ms: int, answers_created_ms: int) -> int:
        """Remove expired nonces and old answers; returns how many."""
        ...
