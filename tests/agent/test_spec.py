"""docs/agent-spec.md says what the agent's code does."""

from __future__ import annotations

from decent_cloud.agent.records import Stage
from devtools import agent_spec


def test_the_drawn_parts_are_current() -> None:
    text = agent_spec.DOCUMENT.read_text(encoding="utf-8")
    assert text == agent_spec.current(text), "run: python -m devtools.agent_spec"


def test_every_part_is_in_the_document_and_a_change_by_hand_is_noticed() -> None:
    text = agent_spec.DOCUMENT.read_text(encoding="utf-8")
    for name in agent_spec.drawn():
        assert f"<!-- drawn: {name} -->\n|" in text or f"<!-- drawn: {name} -->\nMake" in text
    changed = text.replace("| `bound` | yes", "| `bound` | no", 1)
    assert changed != text
    assert agent_spec.current(changed) == text


def test_the_plan_moves_nothing_under_a_distrusted_platform() -> None:
    rows = {row.split(" | ")[0].strip("| `"): row for row in agent_spec.drawn()["plan"].split("\n")}
    for stage in Stage:
        assert rows[stage.value].endswith("| rest |")
