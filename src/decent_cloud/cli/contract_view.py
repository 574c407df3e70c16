"""How contracts are shown to people."""

from __future__ import annotations

from decent_cloud.cli import words
from decent_cloud.cli.output import Output
from decent_cloud.wire.v1.contracts import ContractsPage, ContractView, HistoryView


def show_contracts(out: Output, found: ContractsPage, now_ms: int, empty: str) -> None:
    """Print contracts as JSON or as a table."""
    if out.json:
        out.data(found)
        return
    out.table(
        ("CONTRACT", "STATE", "SINCE", "OFFERING", "HOURS", "TOTAL", "PAID UNTIL"),
        (
            (
                one.id,
                one.state.value,
                words.when(one.state_since, now_ms),
                one.offering_title,
                str(one.hours),
                words.amount(one.total),
                words.when(one.paid_until, now_ms),
            )
            for one in found.items
        ),
        empty=empty,
    )


def show_contract(out: Output, found: ContractView, now_ms: int) -> None:
    """Print a contract as JSON or as a page with its money."""
    if out.json:
        out.data(found)
        return
    out.fields(_rows(found, now_ms))
    if found.terms:
        out.line()
        out.table(
            ("TERM", "HOURS", "FROM", "PAID", "RELEASED", "FEE", "REFUNDED", "CREDITED", "HELD"),
            (
                (
                    str(term.ordinal),
                    str(term.hours),
                    words.when(term.starts_at, now_ms),
                    *(
                        words.amount(part)
                        for part in (
                            term.paid,
                            term.released,
                            term.fee,
                            term.refunded,
                            term.credited,
                            term.held,
                        )
                    ),
                )
                for term in found.terms
            ),
        )
    moves = [("payment", one.id, one.state.value, one.amount, one.detail) for one in found.payments]
    moves += [("refund", one.id, one.state.value, one.amount, "") for one in found.refunds]
    if moves:
        out.line()
        out.table(
            ("MONEY", "ID", "STATE", "AMOUNT", "DETAIL"),
            (
                (kind, id_, state, words.amount(amount), detail)
                for kind, id_, state, amount, detail in moves
            ),
        )


def show_history(out: Output, found: HistoryView, now_ms: int) -> None:
    """Print every step of a contract's life."""
    if out.json:
        out.data(found)
        return
    out.table(
        ("AT", "EVENT", "STATE", "BY", "REASON"),
        (
            (words.when(one.at, now_ms), one.event, one.to_state.value, one.actor, one.reason)
            for one in found.items
        ),
    )


def _rows(found: ContractView, now_ms: int) -> list[tuple[str, str]]:
    waits = f", waits for {found.waits_for}" if found.waits_for else ""
    return [
        ("contract", found.id),
        ("state", f"{found.state.value}{waits}"),
        ("since", words.when(found.state_since, now_ms)),
        ("deadline", words.when(found.deadline, now_ms)),
        ("offering", f"{found.offering_title} ({found.offering})"),
        ("tenant", found.tenant),
        ("provider", found.provider + (" (self-rental)" if found.self_rental else "")),
        ("total", f"{words.amount(found.total)} for {found.hours} h"),
        ("ordered", words.when(found.created_at, now_ms)),
        ("paid until", words.when(found.paid_until, now_ms)),
        ("address", f"{found.host}:{found.port}" if found.host else "-"),
        ("agent", "connected" if found.agent_connected else "not connected"),
        ("credential", f"number {found.credential_n}" if found.credential_n else "none yet"),
        *([("ended", found.end_reason)] if found.end_reason else []),
    ]
