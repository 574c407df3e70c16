"""Runs the benchmark groups, prints a table, writes build/bench.json; exit 1 if a bound does not hold."""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path

from bench.figures import Figure, write

GROUPS = ("dispatch", "ledger", "rent_to_ssh", "burst", "crash_matrix")
RESULT = Path("build/bench.json")


def show(figures: list[Figure]) -> None:
    """Print one line a figure."""
    for figure in figures:
        ratio = f"{figure.ratio:.2f}x" if figure.ratio is not None else ""
        mark = "ok" if figure.holds else "MISSED"
        print(
            f"  {figure.name:<28} {figure.value:>12,.3f} {figure.unit:<8} {ratio:>7}  "
            f"{figure.bound:<14} {mark:<7} {figure.baseline}",
            flush=True,
        )


def main(asked: list[str]) -> int:
    """Run the groups named on the command line, or all."""
    unknown = [name for name in asked if name not in GROUPS]
    if unknown:
        print(
            f"no such group: {', '.join(unknown)} (there are: {', '.join(GROUPS)})",
            file=sys.stderr,
        )
        return 2
    holds = True
    for name in asked or GROUPS:
        print(f"{name} ...", flush=True)
        began = time.monotonic()
        figures: list[Figure] = importlib.import_module(f"bench.{name}").run()
        show(figures)
        print(f"  ({name} took {time.monotonic() - began:.0f} s)", flush=True)
        write(figures, RESULT)
        holds = holds and all(figure.holds for figure in figures)
    print(f"written to {RESULT}")
    return 0 if holds else 1


if __name__ == "__main__":
    raise SystemExit(main([name for name in sys.argv[1:] if name]))
