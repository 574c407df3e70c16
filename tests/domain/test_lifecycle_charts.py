"""The charts in docs/lifecycles/ say what the code does."""

from __future__ import annotations

from pathlib import Path

from devtools import charts


def test_the_charts_are_current() -> None:
    assert charts.stale() == [], "run: python -m devtools.charts"


def test_a_changed_chart_is_noticed_and_written_anew(tmp_path: Path) -> None:
    assert set(charts.write(tmp_path)) == set(charts.documents())
    assert charts.stale(tmp_path) == []
    (tmp_path / "contract.md").write_text("by hand")
    assert charts.stale(tmp_path) == ["contract.md"]
    assert charts.write(tmp_path) == ["contract.md"]


def test_every_row_of_every_table_is_drawn() -> None:
    for lifecycle, place, computed in charts.CHARTS:
        text = charts.document(lifecycle, place, computed)
        for state, event in lifecycle.table:
            assert f"| `{state.value}` | `{event.value}` | " in text
        for state in lifecycle.states:
            assert f"| `{state.value}` |" in text
        assert {(state.value, event.value) for state, event in lifecycle.computed} == set(computed)
