"""One measured figure with its baseline from the same run and the bound that it must keep."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    """`ratio` compares value with baseline in the direction that `bound` limits; `holds` says if it does.

    `baseline` names what was measured beside it in the same run, or is empty where the bound is absolute.
    """

    name: str
    value: float
    unit: str
    baseline: str
    ratio: float | None
    bound: str
    holds: bool


def at_most(name: str, value: float, unit: str, bound: float) -> Figure:
    """Make a figure that must not exceed an absolute bound."""
    return Figure(name, round(value, 3), unit, "", None, f"<= {bound:g} {unit}", value <= bound)


def ratio_at_least(
    name: str, value: float, unit: str, baseline: tuple[str, float], bound: float
) -> Figure:
    """Make a figure whose ratio to its baseline must reach a bound."""
    what, reference = baseline
    ratio = value / reference
    text = f"{what}: {reference:,.1f} {unit}"
    return Figure(
        name, round(value, 3), unit, text, round(ratio, 3), f">= {bound:g}x", ratio >= bound
    )


def ratio_at_most(
    name: str, value: float, unit: str, baseline: tuple[str, float], bound: float
) -> Figure:
    """Make a figure whose ratio to its baseline must not exceed a bound."""
    what, reference = baseline
    ratio = value / reference
    text = f"{what}: {reference:,.3f} {unit}"
    return Figure(
        name, round(value, 3), unit, text, round(ratio, 3), f"<= {bound:g}x", ratio <= bound
    )


def write(figures: list[Figure], path: Path) -> None:
    """Write figures as JSON, keeping those of groups that did not run this time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept: dict[str, object] = {}
    if path.exists():
        kept = {row["name"]: row for row in json.loads(path.read_text())["figures"]}
    kept.update({figure.name: asdict(figure) for figure in figures})
    path.write_text(json.dumps({"figures": list(kept.values())}, indent=2) + "\n")
