"""Draws the tables of docs/agent-spec.md from the agent's code: `python -m devtools.agent_spec` writes them anew."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from decent_cloud.agent import breaker, plan, steps
from decent_cloud.agent.journal_sqlite import SqliteJournal
from decent_cloud.agent.records import MAKING, MAY_EXIST, Instance, Stage, Want
from decent_cloud.agent.situation import Sight, Situation, Standing, Step, Us
from decent_cloud.drivers.contract import Handle
from decent_cloud.http.permissions import RULES, Who
from decent_cloud.kernel.clock import DAY_MS, HOUR_MS, MINUTE_MS
from decent_cloud.kernel.ids import AccountId, ContractId, Digest
from decent_cloud.kernel.status import AssignmentState, Desired, Observed

DOCUMENT = Path(__file__).parent.parent / "docs" / "agent-spec.md"
_MARK = re.compile(r"(<!-- drawn: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

_TABLES = (
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name"
)

_NOW_MS = 1_800_000_000_000
_CONTRACT = ContractId("c" + "0" * 26)
_HANDLE = Handle("any", {"id": "1"})
_ME, _SCOPE = "me", "backend"
_RUNS = Sight(Observed.RUNNING, _SCOPE, "attempt", _HANDLE, _NOW_MS)


def drawn() -> dict[str, str]:
    """Return each drawn part by its name."""
    return {
        "stages": _stages(),
        "paths": _paths(),
        "plan": _plan(),
        "routes": _routes(),
        "journal": _journal(),
        "times": _times(),
    }


def current(text: str) -> str:
    """Return the document with every drawn part as the code says it should be."""
    parts = drawn()
    return _MARK.sub(lambda found: f"{found[1]}{parts[found[2]]}\n{found[3]}", text)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _stages() -> str:
    def row(stage: Stage) -> tuple[str, str, str]:
        return (
            f"`{stage.value}`",
            "yes" if stage in MAY_EXIST else "no",
            "renewed" if stage in MAKING else "none",
        )

    return _table(("stage", "a machine may exist", "lease"), (row(each) for each in Stage))


def _paths() -> str:
    charts = []
    for name, path in (
        ("make", steps.CREATE_PATH),
        ("first script", steps.FIRST_PATH),
        ("remove", steps.DESTROY_PATH),
        ("new password or SSH keys", steps.RESET_PATH),
    ):
        nodes = [
            f"  s{n}[{step}] --> s{n + 1}[{after}]"
            for n, (step, after) in enumerate(pairwise(path))
        ]
        charts.append(
            "\n".join(
                (f"{name[0].upper()}{name[1:]}:", "", "```mermaid", "flowchart TD", *nodes, "```")
            )
        )
    return "\n\n".join(charts)


def _want(desired: Desired, **changed: object) -> Want:
    fields: dict[str, object] = {
        "contract": _CONTRACT,
        "digest": Digest("d" * 64),
        "tenant": AccountId("e" * 64),
        "desired": desired,
        "state": AssignmentState.BOUND,
        "holder": _ME,
        "scope": _SCOPE,
        "fence": 1,
        "lease_expires_ms": _NOW_MS + MINUTE_MS,
        "paid_until_ms": _NOW_MS - HOUR_MS,
        "deadline_ms": 0,
        "renews": False,
        "suspended": False,
        "next_n": 1,
        **changed,
    }
    return Want(**fields)  # type: ignore[arg-type]


def _machine(stage: Stage) -> Instance:
    made = stage in MAY_EXIST and stage is not Stage.STARTED
    return Instance(
        _CONTRACT,
        stage,
        _NOW_MS,
        fence=1,
        attempt="attempt",
        scope=_SCOPE,
        handle=_HANDLE if made else None,
        create_called_ms=_NOW_MS - DAY_MS if stage in MAY_EXIST else 0,
        health=Observed.RUNNING,
    )


def _plan() -> str:
    """One row a stage: the next step under each word, the machine seen running, lease and secrets held."""
    long_ago = _NOW_MS - plan.SILENT_DESTROY_MS - 1
    columns: tuple[tuple[str, Callable[[Situation], Situation]], ...] = (
        ("wanted running", lambda s: s),
        ("wanted stopped", lambda s: replace(s, want=_want(Desired.STOPPED))),
        ("wanted absent", lambda s: replace(s, want=_want(Desired.ABSENT))),
        ("not named", lambda s: replace(s, want=_want(Desired.RUNNING, named=False))),
        ("platform silent", lambda s: replace(s, standing=Standing.SILENT)),
        (
            "silent, 7 d over",
            lambda s: replace(
                s,
                standing=Standing.SILENT,
                want=_want(Desired.RUNNING, paid_until_ms=long_ago),
            ),
        ),
        ("distrusted", lambda s: replace(s, standing=Standing.DISTRUSTED)),
    )

    def step(situation: Situation) -> str:
        found = plan.next_step(situation)
        return f"`{found.do.value}`" if isinstance(found, Step) else "rest"

    rows = []
    for stage in Stage:
        base = Situation(
            now_ms=_NOW_MS,
            standing=Standing.TRUSTED,
            us=Us(_ME, _SCOPE, can_stop=True),
            want=_want(Desired.RUNNING),
            instance=_machine(stage),
            sight=_RUNS,
            lease_held=True,
            secrets_held=True,
        )
        rows.append((f"`{stage.value}`", *(step(change(base)) for _, change in columns)))
    return _table(("stage", *(name for name, _ in columns)), rows)


def _routes() -> str:
    rows = [
        (f"`{method} {path}`", rule.permission.value if rule.permission else "any live delegation")
        for (method, path), rule in sorted(RULES.items(), key=lambda each: each[0][::-1])
        if rule.who is Who.AGENT
    ]
    return _table(("route", "permission"), rows)


def _journal() -> str:
    """Read the tables out of a new journal."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        SqliteJournal(path).close()
        with contextlib.closing(sqlite3.connect(path)) as db:
            names = [row[0] for row in db.execute(_TABLES)]
            columns = {
                name: [
                    row[0] for row in db.execute("SELECT name FROM pragma_table_info(?)", (name,))
                ]
                for name in names
            }
    return _table(("table", "columns"), ((f"`{name}`", ", ".join(columns[name])) for name in names))


def _times() -> str:
    return _table(
        ("what", "after"),
        (
            ("stop under a silent platform", _hours(plan.SILENT_STOP_MS) + " past the paid time"),
            (
                "remove under a silent platform",
                _hours(plan.SILENT_DESTROY_MS) + " past the paid time",
            ),
            ("the same, where the order renews", _hours(plan.SILENT_DESTROY_RENEWING_MS)),
            (
                "take over a begun create on the same backend",
                f"{plan.TAKE_OVER_MS // MINUTE_MS} min past the lease",
            ),
            ("the circuit breaker counts together", _hours(breaker.WINDOW_MS)),
        ),
    )


def _hours(span_ms: int) -> str:
    return f"{span_ms // HOUR_MS} h"


def main() -> None:
    """Write the document anew."""
    DOCUMENT.write_text(current(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
