"""No secret of a tenant is in the agent's files, its words or its reports; a canary is looked for."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import pytest
import structlog

from decent_cloud.agent.daemon import Agent, Parts
from decent_cloud.agent.journal import PLATFORM_ID
from decent_cloud.agent.records import Stage
from decent_cloud.agent.seal import new_secrets
from decent_cloud.drivers.contract import InstanceSpec, Observation
from decent_cloud.drivers.fake.driver import FakeDriver
from decent_cloud.drivers.fake.script import Fault, Verb
from tests.agent.rig import QUICK, Rig
from tests.support.kept import kept_by_file
from tests.support.market import publish, rent, until
from tests.support.people import Person, Shop


class Watching(FakeDriver):
    """The fake driver, which also tells the test what it was given."""

    specs: list[InstanceSpec]

    @classmethod
    def from_settings(cls, settings: Mapping[str, object], platform: str) -> Self:
        made = super().from_settings(settings, platform)
        made.specs = []
        return made

    def create(self, spec: InstanceSpec) -> Observation:
        self.specs.append(spec)
        return super().create(spec)


def test_the_canary_is_nowhere(rig: Rig, shop: Shop, tenant: Person, tmp_path: Path) -> None:
    said: list[str] = []

    def listen(_logger: object, _name: str, event: Any) -> Any:
        said.append(repr(event))
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(
        processors=[structlog.processors.format_exc_info, listen],
        wrapper_class=structlog.make_filtering_bound_logger(0),
    )
    journal = rig.journal()
    settings: dict[str, object] = {
        "path": str(rig.backend.path),
        "first_port": 21_700,
        "last_port": 21_709,
    }
    driver = Watching.from_settings(settings, journal.fact(PLATFORM_ID))
    rig.agent = Agent(rig.settings(), Parts(rig.keys, journal, driver, limits=QUICK))
    rig.thread = threading.Thread(target=rig.agent.run)
    rig.backend.fail_next(Verb.CREATE, Fault.BROKEN)
    try:
        rig.thread.start()
        id_ = rent(tenant, publish(shop))["id"]
        until(tenant, id_, "active", timeout_s=20)
        rig.reaches(id_, Stage.BOUND)
    finally:
        rig.stop()
        structlog.configure(**before)
    secrets = [spec.password.reveal() for spec in driver.specs]
    secrets += [spec.host_key.seed_hex.reveal() for spec in driver.specs]
    assert len(secrets) >= 2
    assert said
    kept = kept_by_file(rig.folder)
    assert kept
    for name, raw in kept.items():
        for secret in secrets:
            assert secret.encode() not in raw, name
    for secret in secrets:
        assert not [line for line in said if secret in line]
    assert not [line for line in said for spec in driver.specs if repr(spec) in line]


def test_secrets_do_not_show_and_are_never_the_same() -> None:
    one, two = new_secrets(), new_secrets()
    assert one.password.reveal() not in repr(one)
    assert one.host_key.seed_hex.reveal() not in repr(one)
    assert one.password.reveal() != two.password.reveal()
    assert one.host_key.public != two.host_key.public
    assert len(one.password.reveal()) >= 20


def test_the_host_key_is_one_that_ssh_reads() -> None:
    from decent_cloud.kernel.ssh_keys import SshPublicKey

    made = new_secrets()
    assert SshPublicKey.parse(made.host_key.public).line() == made.host_key.public
    with pytest.raises(ValueError, match="hex"):
        bytes.fromhex(str(made.host_key.seed_hex))
