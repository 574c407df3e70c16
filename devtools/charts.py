"""Draws docs/lifecycles/ from the tables in the code: `python -m devtools.charts` writes what differs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from decent_cloud.domain.contracts.assignment import ASSIGNMENT
from decent_cloud.domain.contracts.lifecycle import CONTRACT
from decent_cloud.domain.contracts.reset import RESET
from decent_cloud.domain.payments.payment_lifecycle import PAYMENT
from decent_cloud.domain.payments.refund_lifecycle import REFUND
from decent_cloud.domain.pricing.breaker import BREAKER
from decent_cloud.kernel.lifecycle import Lifecycle

FOLDER = Path(__file__).parent.parent / "docs" / "lifecycles"

# Where each table is kept, and what a computed row's target really is.
CHARTS: tuple[tuple[Lifecycle[Any, Any], str, Mapping[tuple[str, str], str]], ...] = (
    (
        CONTRACT,
        "src/decent_cloud/domain/contracts/lifecycle.py",
        {
            (
                "requested",
                "settled",
            ): "`pending`, or `accepted` where the offering accepts by itself",
            ("suspended", "resumed"): "the state it was suspended from",
        },
    ),
    (ASSIGNMENT, "src/decent_cloud/domain/contracts/assignment.py", {}),
    (RESET, "src/decent_cloud/domain/contracts/reset.py", {}),
    (PAYMENT, "src/decent_cloud/domain/payments/payment_lifecycle.py", {}),
    (REFUND, "src/decent_cloud/domain/payments/refund_lifecycle.py", {}),
    (BREAKER, "src/decent_cloud/domain/pricing/breaker.py", {}),
)


def documents() -> dict[str, str]:
    """Return every document of the folder by file name, as the code says it should be."""
    drawn = {
        f"{lifecycle.name}.md": document(lifecycle, place, computed)
        for lifecycle, place, computed in CHARTS
    }
    return drawn | {"README.md": index()}


def document(
    lifecycle: Lifecycle[Any, Any], place: str, computed: Mapping[tuple[str, str], str]
) -> str:
    """Return the chart and the tables of one lifecycle."""
    parts = [
        f"# The life of {_article(lifecycle.name)} {lifecycle.name}",
        f"Drawn from `{place}` by `python -m devtools.charts`; a test keeps it current. Do not edit.",
        "\n".join(("```mermaid", *_diagram(lifecycle), "```")),
        *(
            ["A step with a * has a target that the record decides; see the steps."]
            * bool(computed)
        ),
        "## States",
        _table(("state", "who moves it on", "by when"), _states(lifecycle)),
        "## Steps",
        _table(("from", "event", "to"), _steps(lifecycle, computed)),
    ]
    return "\n\n".join(parts) + "\n"


def index() -> str:
    """Return the list of lifecycles."""
    rows = [
        (f"[{one.name}]({one.name}.md)", str(len(one.states.__members__)), str(len(one.table)))
        for one, _, _ in CHARTS
    ]
    head = "# Lifecycles\n\nDrawn from the code; `python -m devtools.charts` writes them anew."
    return f"{head}\n\n{_table(('of', 'states', 'steps'), rows)}\n"


def write(folder: Path = FOLDER) -> list[str]:
    """Write the documents that differ; return their names."""
    changed = stale(folder)
    for name in changed:
        (folder / name).write_text(documents()[name])
    return changed


def stale(folder: Path = FOLDER) -> list[str]:
    """Return the names of documents that are not as the code says."""
    return [
        name
        for name, text in documents().items()
        if not (folder / name).exists() or (folder / name).read_text() != text
    ]


def _diagram(lifecycle: Lifecycle[Any, Any]) -> Iterable[str]:
    """One arrow for each pair of states, with all events that lead along it."""
    yield "stateDiagram-v2"
    yield f"    [*] --> {lifecycle.initial.value}"
    arrows: dict[tuple[str, str], list[str]] = {}
    for (state, event), target in lifecycle.table.items():
        mark = "*" if (state, event) in lifecycle.computed else ""
        arrows.setdefault((state.value, target.value), []).append(event.value + mark)
    for (state, target), events in arrows.items():
        yield f"    {state} --> {target}: {', '.join(events)}"
    for state in lifecycle.states:
        if state in lifecycle.terminal():
            yield f"    {state.value} --> [*]"


def _states(lifecycle: Lifecycle[Any, Any]) -> Iterable[tuple[str, ...]]:
    for state in lifecycle.states:
        keeper = lifecycle.keepers.get(state)
        if state in lifecycle.terminal():
            yield (f"`{state.value}`", "-", "the end")
        elif state in lifecycle.resting:
            deadline = keeper.deadline if keeper else "resting"
            yield (f"`{state.value}`", "-", deadline)
        elif keeper is not None:
            yield (f"`{state.value}`", keeper.owner, keeper.deadline)


def _steps(
    lifecycle: Lifecycle[Any, Any], computed: Mapping[tuple[str, str], str]
) -> Iterable[tuple[str, ...]]:
    for (state, event), target in lifecycle.table.items():
        to = computed.get((state.value, event.value), f"`{target.value}`")
        yield (f"`{state.value}`", f"`{event.value}`", to)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    rule = tuple("---" for _ in head)
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def _article(name: str) -> str:
    return "an" if name[0] in "aeiou" else "a"


if __name__ == "__main__":
    for written in write():
        print(f"docs/lifecycles/{written}")
