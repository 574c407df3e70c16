"""Personal fields in SQL: one table, sealed under a data key per account that the master key wraps."""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from decent_cloud.adapters.sql.session import Session
from decent_cloud.domain.identity.accounts import Profile
from decent_cloud.kernel.codec import from_json, to_json
from decent_cloud.kernel.errors import Internal
from decent_cloud.kernel.ids import AccountId

KEY_BYTES = 32
_NONCE_BYTES = 12
_PUT = (
    "INSERT INTO personal (account, wrapped_key, sealed) VALUES (:account, :wrapped, :sealed)"
    " ON CONFLICT (account) DO UPDATE SET sealed = excluded.sealed,"
    " wrapped_key = excluded.wrapped_key"
)


class SqlPersonal:
    """Keeps the port `Personal`. A row that is moved to another account does not open."""

    def __init__(self, session: Session, master_key: bytes) -> None:
        self._session = session
        self._master_key = master_key

    def get(self, account: AccountId) -> Profile:
        row = self._row(account)
        if row is None:
            return Profile()
        key = _open(self._master_key, row[0], b"key", account)
        return from_json(_open(key, row[1], b"profile", account), Profile)

    def put(self, account: AccountId, profile: Profile) -> None:
        row = self._row(account)
        if row is None:
            key = secrets.token_bytes(KEY_BYTES)
            wrapped = _seal(self._master_key, key, b"key", account)
        else:
            wrapped = row[0]
            key = _open(self._master_key, wrapped, b"key", account)
        sealed = _seal(key, to_json(profile), b"profile", account)
        params = {"account": account, "wrapped": wrapped, "sealed": sealed}
        self._session.run(_PUT, params)

    def erase(self, account: AccountId) -> None:
        self._session.run("DELETE FROM personal WHERE account = :account", {"account": account})

    def _row(self, account: AccountId) -> tuple[bytes, bytes] | None:
        sql = "SELECT wrapped_key, sealed FROM personal WHERE account = :account"
        row = self._session.row(sql, {"account": account})
        return None if row is None else (bytes(row[0]), bytes(row[1]))


def _seal(key: bytes, plain: bytes, use: bytes, account: AccountId) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + ChaCha20Poly1305(key).encrypt(nonce, plain, use + account.encode())


def _open(key: bytes, sealed: bytes, use: bytes, account: AccountId) -> bytes:
    nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, rest, use + account.encode())
    except InvalidTag:
        raise Internal("personal fields do not open with this master key") from None
