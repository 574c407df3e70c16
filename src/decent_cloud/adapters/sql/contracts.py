"""Contracts, terms, histories and sealed credentials in SQL."""

from __future__ import annotations

from collections.abc import Mapping

from decent_cloud.adapters.sql.records import Rows, same_or_conflict
from decent_cloud.adapters.sql.session import Session, among
from decent_cloud.domain.contracts.contract import Contract, HistoryRow, SealedCredential, Term
from decent_cloud.domain.contracts.traffic import Traffic
from decent_cloud.kernel.ids import AccountId, ContractId, Digest, PoolId
from decent_cloud.kernel.paging import Page, PageRequest
from decent_cloud.kernel.status import ContractState

_CONTRACTS = Rows(Contract, "contracts", ("id",))
_HISTORY = Rows(HistoryRow, "contract_history", ("contract", "version"))
_TERMS = Rows(Term, "terms", ("id",))
_TRAFFIC = Rows(Traffic, "traffic", ("contract",))
_CREDENTIALS = Rows(SealedCredential, "credentials", ("contract", "n"))

# The contract's own digest, or that of one of its extensions; as a value, so that each engine uses its indexes.
_BY_DIGEST = (
    "WHERE id = coalesce((SELECT id FROM contracts WHERE digest = :digest),"
    " (SELECT contract FROM terms WHERE digest = :digest))"
)
_SHIFT = (
    "UPDATE contracts SET deadline_ms = deadline_ms + :gap, version = version + 1"
    " WHERE deadline_ms > 0 AND state <> 'active'"
)
_GRACE = (
    "UPDATE contracts SET deadline_ms = :grace, version = version + 1"
    " WHERE state = 'active' AND deadline_ms > :since AND deadline_ms <= :now"
)


class SqlContracts:
    """Keeps the port `Contracts`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, contract: ContractId) -> Contract | None:
        # Decisions about payments, terms and assignments hang on the contract: units about one take turns.
        return _CONTRACTS.get_locked(self._session, id=contract)

    def many(self, contracts: tuple[ContractId, ...]) -> tuple[Contract, ...]:
        if not contracts:
            return ()
        listed, params = among("id", contracts)
        return _CONTRACTS.all(self._session, f"WHERE {listed} ORDER BY id", params)

    def by_digest(self, digest: Digest) -> Contract | None:
        return _CONTRACTS.one(self._session, _BY_DIGEST, {"digest": digest})

    def add(self, contract: Contract, history: HistoryRow) -> None:
        _CONTRACTS.add(self._session, contract)
        _HISTORY.add(self._session, history)

    def save(self, contract: Contract, history: HistoryRow) -> None:
        _CONTRACTS.save(self._session, contract)
        _HISTORY.add(self._session, history)

    def history(self, contract: ContractId) -> tuple[HistoryRow, ...]:
        return _HISTORY.all(self._session, "WHERE contract = :c ORDER BY version", {"c": contract})

    def of_tenant(self, tenant: AccountId, page: PageRequest) -> Page[Contract]:
        return _CONTRACTS.newest(self._session, "tenant = :t", {"t": tenant}, page)

    def of_provider(
        self, provider: AccountId, states: tuple[ContractState, ...], page: PageRequest
    ) -> Page[Contract]:
        listed, params = among("state", states) if states else ("1 = 1", {})
        where = f"provider = :p AND {listed}"
        return _CONTRACTS.newest(self._session, where, {"p": provider, **params}, page)

    def between(self, one: AccountId, other: AccountId) -> bool:
        sql = (
            "SELECT 1 FROM contracts WHERE (tenant = :one AND provider = :other)"
            " OR (tenant = :other AND provider = :one) LIMIT 1"
        )
        return self._session.row(sql, {"one": one, "other": other}) is not None

    def of_pool(self, pool: PoolId, states: tuple[ContractState, ...]) -> tuple[Contract, ...]:
        if not states:
            return ()
        listed, params = among("state", states)
        tail = f"WHERE pool = :pool AND {listed} ORDER BY id"
        return _CONTRACTS.all(self._session, tail, {"pool": pool, **params})

    def unpaid_of(self, tenant: AccountId) -> int:
        sql = "SELECT count(*) FROM contracts WHERE tenant = :t AND state = 'requested'"
        return self._session.number(sql, {"t": tenant})

    def count_by_state(self) -> dict[ContractState, int]:
        rows = self._session.rows("SELECT state, count(*) FROM contracts GROUP BY state", {})
        return {ContractState(state): int(count) for state, count in rows}

    def due(self, now_ms: int, limit: int) -> tuple[Contract, ...]:
        tail = "WHERE deadline_ms > 0 AND deadline_ms <= :now ORDER BY deadline_ms, id LIMIT :limit"
        return _CONTRACTS.all(self._session, tail, {"now": now_ms, "limit": limit})

    def shift_deadlines(self, gap_ms: int, since_ms: int, grace_until_ms: int) -> int:
        moved = self._session.run(_SHIFT, {"gap": gap_ms})
        graced = {"grace": grace_until_ms, "since": since_ms, "now": since_ms + gap_ms}
        return moved + self._session.run(_GRACE, graced)

    def terms(self, contract: ContractId) -> tuple[Term, ...]:
        return _TERMS.all(self._session, "WHERE contract = :c ORDER BY ordinal", {"c": contract})

    def add_term(self, term: Term) -> None:
        _TERMS.add(self._session, term)

    def save_term(self, term: Term) -> None:
        _TERMS.save(self._session, term)

    def releasable(self, limit: int, after: str) -> tuple[ContractId, ...]:
        sql = (
            "SELECT id FROM contracts WHERE state IN ('active', 'suspended', 'lapsed')"
            " AND id > :after ORDER BY id LIMIT :limit"
        )
        rows = self._session.rows(sql, {"after": after, "limit": limit})
        return tuple(ContractId(row[0]) for row in rows)

    def credential(self, contract: ContractId) -> SealedCredential | None:
        tail = "WHERE contract = :c ORDER BY n DESC LIMIT 1"
        return _CREDENTIALS.one(self._session, tail, {"c": contract})

    def credential_numbers(self, contracts: tuple[ContractId, ...]) -> Mapping[ContractId, int]:
        if not contracts:
            return {}
        listed, params = among("contract", contracts)
        sql = f"SELECT contract, max(n) FROM credentials WHERE {listed} GROUP BY contract"
        rows = self._session.rows(sql, params)
        return {ContractId(row[0]): int(row[1]) for row in rows}

    def traffic(self, contract: ContractId) -> Traffic | None:
        return _TRAFFIC.get(self._session, contract=contract)

    def put_traffic(self, traffic: Traffic) -> None:
        _TRAFFIC.put(self._session, traffic)

    def add_credential(self, credential: SealedCredential) -> None:
        if _CREDENTIALS.add_unless_there(self._session, credential):
            return
        stored = _CREDENTIALS.get(self._session, contract=credential.contract, n=credential.n)
        same_or_conflict(stored and stored.outer, credential.outer)
