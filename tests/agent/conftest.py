"""A platform a module; a shop, a tenant and an agent's machine for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from decent_cloud.programs.server import Ports
from tests.agent.rig import Rig, rig_for
from tests.support.market import OpenDoor
from tests.support.people import Person, Shop, new_person, new_shop
from tests.support.platform import Platform, running_platform


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = Path(tmp_path_factory.mktemp("platform"))
    with running_platform(folder, Ports(reach=OpenDoor())) as running:
        yield running


@pytest.fixture
def tenant(platform: Platform) -> Person:
    return new_person(platform.url)


@pytest.fixture
def shop(platform: Platform) -> Shop:
    return new_shop(platform.url)


@pytest.fixture
def rig(platform: Platform, shop: Shop, tmp_path: Path) -> Iterator[Rig]:
    made = rig_for(shop, platform.url, tmp_path / "agent")
    yield made
    made.stop()
