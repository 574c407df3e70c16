"""One platform a module: tests make accounts of their own on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from decent_cloud.programs.server import Ports
from tests.support.market import OpenDoor
from tests.support.people import Api, Person, Shop, new_person, new_shop
from tests.support.platform import Platform, running_platform


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = Path(tmp_path_factory.mktemp("platform"))
    with running_platform(folder, Ports(reach=OpenDoor())) as running:
        yield running


@pytest.fixture
def nobody(platform: Platform) -> Api:
    return Api(platform.url)


@pytest.fixture
def ada(platform: Platform) -> Person:
    return new_person(platform.url)


@pytest.fixture
def bob(platform: Platform) -> Person:
    return new_person(platform.url)


@pytest.fixture
def shop(platform: Platform) -> Shop:
    return new_shop(platform.url)
