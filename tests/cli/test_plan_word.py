"""The word of an agent that compared an offering with its backend, as the provider's command line waits for it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Desk
from tests.cli.test_offerings import SHEET
from tests.support.people import Shop

pytestmark = pytest.mark.slow


@pytest.fixture
def sheet(tmp_path: Path) -> str:
    file = tmp_path / "small.toml"
    file.write_text(SHEET)
    return str(file)


def test_publish_waits_for_the_agents_word_and_shows_what_is_wrong_with_a_cure(
    provider: Desk, shop: Shop, sheet: str
) -> None:
    made = provider.run("offering", "create", "--file", sheet)
    beat = {"version": "1", "driver": "fake", "scope": "s", "instances": 0}
    path = f"/providers/{shop.owner.id}/heartbeat"
    inventory = {"running": 0, "driver_version": "1"}
    assert shop.agent.post(path, {**beat, "inventory": inventory}).is_success
    answers: list[int] = []
    agent = threading.Thread(target=_refuse_plan, args=(shop, made["id"], answers))
    agent.start()
    result = provider.try_("offering", "publish", made["id"], "--wait", "60")
    agent.join(60)
    assert (result.exit_code, answers) == (0, [200]), result.stderr
    for said in ("no: plan_fails", "tiny: no such image", "offer another image"):
        assert said in result.stdout
    shown = provider.run("offering", "show", made["id"])
    assert (shown["plan"], shown["rentable"]) == ("fails", False)


def _refuse_plan(shop: Shop, offering: str, answers: list[int]) -> None:
    """Say as an agent does that an offering cannot be made, once it is on offer."""
    end_s = time.monotonic() + 50
    while time.monotonic() < end_s:
        for one in shop.agent.get("/agents/me/offerings").json()["items"]:
            if one["offering"] == offering:
                problem = {
                    "check": "plan",
                    "detail": "tiny: no such image",
                    "cure": "offer another image",
                }
                word = {
                    "offering": offering,
                    "revision": one["revision"],
                    "problems": [problem],
                }
                said = shop.agent.post("/agents/me/plan-checks", {"items": [word]})
                answers.append(said.status_code)
                return
        time.sleep(0.05)
