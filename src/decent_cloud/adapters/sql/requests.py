"""Nonces and idempotent answers in SQL."""

from __future__ import annotations

from decent_cloud.adapters.sql.records import Rows
from decent_cloud.adapters.sql.session import Session
from decent_cloud.app.ports.requests import StoredAnswer

_ANSWERS = Rows(StoredAnswer, "answers", ("caller", "key"))
_USE = (
    "INSERT INTO nonces (keyid, nonce, expires_at_ms) VALUES (:keyid, :nonce, :expires)"
    " ON CONFLICT DO NOTHING"
)


class SqlRequests:
    """Keeps the port `Requests`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def use_nonce(self, keyid: str, nonce: str, expires_at_ms: int) -> bool:
        params = {"keyid": keyid, "nonce": nonce, "expires": expires_at_ms}
        return self._session.run(_USE, params) == 1

    def answer(self, caller: str, key: str) -> StoredAnswer | None:
        return _ANSWERS.get(self._session, caller=caller, key=key)

    def store_answer(self, answer: StoredAnswer) -> None:
        _ANSWERS.add(self._session, answer)

    def drop_before(self, nonces_expired_ms: int, answers_created_ms: int) -> int:
        nonces = "DELETE FROM nonces WHERE expires_at_ms < :before"
        answers = "DELETE FROM answers WHERE created_at_ms < :before"
        return self._session.run(nonces, {"before": nonces_expired_ms}) + self._session.run(
            answers, {"before": answers_created_ms}
        )
