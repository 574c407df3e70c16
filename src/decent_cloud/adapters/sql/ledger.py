"""The books in SQL: transfers that are only ever inserted, balances moved in the same transaction."""

from __future__ import annotations

from decent_cloud.adapters.sql.session import Row, Session
from decent_cloud.domain.ledger.transfers import (
    Balance,
    LedgerAccount,
    Side,
    Transfer,
    TrialLine,
)
from decent_cloud.kernel.errors import Internal
from decent_cloud.kernel.ids import TransferId
from decent_cloud.kernel.money import Asset

_TRANSFER = (
    "INSERT INTO transfers"
    " (id, debit, credit, asset, amount_minor, kind, reference, booked_at_ms, occurred_at_ms)"
    " VALUES (:id, :debit, :credit, :asset, :amount, :kind, :reference, :booked, :occurred)"
)
_MOVE = (
    "UPDATE balances SET balance_minor = balance_minor + CAST(:delta AS bigint)"
    " WHERE account = :account AND asset = :asset AND side = :side"
)
# A new row cannot be an upsert: the floor would be checked on the difference, before the rows are found to clash.
_OPEN = (
    "INSERT INTO balances (account, owner, asset, side, floored, balance_minor)"
    " VALUES (:account, :owner, :asset, :side, :floored, 0) ON CONFLICT (account, asset) DO NOTHING"
)
# One round trip for the commonest group: the accounts are locked in one order, so two of these never deadlock.
_POST_ONE = f"""
WITH locked AS (
  SELECT account FROM balances WHERE asset = :asset AND
    ((account = :debit AND side = :debit_side) OR (account = :credit AND side = :credit_side))
  ORDER BY account FOR NO KEY UPDATE
), booked AS ({_TRANSFER}), moved AS (
  UPDATE balances AS b SET balance_minor = b.balance_minor +
    CASE WHEN b.account = :debit THEN CAST(:debit_delta AS bigint)
    ELSE CAST(:credit_delta AS bigint) END
  FROM locked WHERE b.account = locked.account AND b.asset = :asset RETURNING b.account
)
SELECT account FROM moved
"""
_BALANCES = "SELECT account, asset, side, floored, balance_minor FROM balances"
_TRANSFERS = """
SELECT t.id, t.debit, d.side, d.floored, t.credit, c.side, c.floored, t.asset, t.amount_minor,
  t.kind, t.reference, t.booked_at_ms, t.occurred_at_ms
FROM transfers AS t
JOIN balances AS d ON d.account = t.debit AND d.asset = t.asset
JOIN balances AS c ON c.account = t.credit AND c.asset = t.asset
WHERE t.reference = :reference ORDER BY t.seq
"""
_TRIAL = """
SELECT asset, CAST(sum(CASE WHEN side = 'debit' THEN balance_minor ELSE 0 END) AS bigint),
  CAST(sum(CASE WHEN side = 'credit' THEN balance_minor ELSE 0 END) AS bigint)
FROM balances GROUP BY asset ORDER BY asset
"""
_DIFFERENCES = """
WITH moved AS (
  SELECT debit AS account, asset, amount_minor AS debited FROM transfers
  UNION ALL SELECT credit, asset, -amount_minor FROM transfers
), rebuilt AS (SELECT account, asset, sum(debited) AS debited FROM moved GROUP BY account, asset)
SELECT b.account, b.asset, b.side, b.floored, b.balance_minor
FROM balances AS b LEFT JOIN rebuilt AS r ON r.account = b.account AND r.asset = b.asset
WHERE b.balance_minor <>
  CASE WHEN b.side = 'debit' THEN coalesce(r.debited, 0) ELSE -coalesce(r.debited, 0) END
ORDER BY b.asset, b.account
"""


class SqlLedger:
    """Keeps the port `Ledger`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def post(self, transfers: tuple[Transfer, ...]) -> None:
        deltas = net_deltas(transfers)
        if self._session.postgres and len(transfers) == 1:
            self._post_one(transfers[0], deltas)
            return
        for transfer in transfers:
            self._session.run(_TRANSFER, _columns(transfer))
        # By name, so that two groups never wait for each other in a circle.
        for account, delta in sorted(deltas.items(), key=lambda item: _order(item[0])):
            self._move(account, delta)

    def _post_one(self, transfer: Transfer, deltas: dict[LedgerAccount, int]) -> None:
        params = {
            **_columns(transfer),
            "debit_side": transfer.debit.side.value,
            "credit_side": transfer.credit.side.value,
            "debit_delta": deltas[transfer.debit],
            "credit_delta": deltas[transfer.credit],
        }
        moved = {row[0] for row in self._session.rows(_POST_ONE, params)}
        for account in sorted(deltas, key=_order):
            if account.name not in moved:
                self._move(account, deltas[account])

    def _move(self, account: LedgerAccount, delta: int) -> None:
        params: dict[str, object] = {
            "account": account.name,
            "owner": account.name.rpartition("/")[2] if "/" in account.name else "",
            "asset": account.asset.value,
            "side": account.side.value,
            "floored": int(account.floored),
            "delta": delta,
        }
        if self._session.run(_MOVE, params) == 1:
            return
        self._session.run(_OPEN, params)
        if self._session.run(_MOVE, params) == 0:
            raise Internal(f"{account.name} is kept with another side")

    def balance(self, account: LedgerAccount) -> int:
        sql = "SELECT balance_minor FROM balances WHERE account = :account AND asset = :asset"
        params = {"account": account.name, "asset": account.asset.value}
        return self._session.number(sql, params)

    def balances(self, owner: str) -> tuple[Balance, ...]:
        where = "WHERE owner = :owner " if owner else ""
        sql = f"{_BALANCES} {where}ORDER BY account, asset"
        return _balances(self._session.rows(sql, {"owner": owner}))

    def transfers(self, reference: str) -> tuple[Transfer, ...]:
        rows = self._session.rows(_TRANSFERS, {"reference": reference})
        return tuple(_transfer(row) for row in rows)

    def trial_balance(self) -> tuple[TrialLine, ...]:
        rows = self._session.rows(_TRIAL, {})
        return tuple(TrialLine(Asset(row[0]), row[1], row[2]) for row in rows)

    def differences(self) -> tuple[Balance, ...]:
        return _balances(self._session.rows(_DIFFERENCES, {}))


def net_deltas(transfers: tuple[Transfer, ...]) -> dict[LedgerAccount, int]:
    """Return by how much each account's balance changes, in its own direction, over a whole group."""
    deltas: dict[LedgerAccount, int] = {}
    for transfer in transfers:
        for account, side in ((transfer.debit, Side.DEBIT), (transfer.credit, Side.CREDIT)):
            grows = transfer.amount_minor if account.side is side else -transfer.amount_minor
            deltas[account] = deltas.get(account, 0) + grows
    return deltas


def _order(account: LedgerAccount) -> tuple[str, str]:
    return account.name, account.asset.value


def _columns(transfer: Transfer) -> dict[str, object]:
    return {
        "id": transfer.id,
        "debit": transfer.debit.name,
        "credit": transfer.credit.name,
        "asset": transfer.asset.value,
        "amount": transfer.amount_minor,
        "kind": transfer.kind,
        "reference": transfer.reference,
        "booked": transfer.booked_at_ms,
        "occurred": transfer.occurred_at_ms,
    }


def _transfer(row: Row) -> Transfer:
    asset = Asset(row[7])
    return Transfer(
        id=TransferId(row[0]),
        debit=LedgerAccount(row[1], asset, Side(row[2]), bool(row[3])),
        credit=LedgerAccount(row[4], asset, Side(row[5]), bool(row[6])),
        amount_minor=row[8],
        kind=str(row[9]),
        reference=row[10],
        booked_at_ms=row[11],
        occurred_at_ms=row[12],
    )


def _balances(rows: list[Row]) -> tuple[Balance, ...]:
    return tuple(
        Balance(LedgerAccount(name, Asset(asset), Side(side), bool(floored)), balance)
        for name, asset, side, floored, balance in rows
    )
