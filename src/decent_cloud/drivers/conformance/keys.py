"""Tests of drivers that can replace the SSH keys inside a machine: just the given ones let in afterwards."""

# mypy: disable-error-code="type-abstract"

from __future__ import annotations

import base64

import pytest

from decent_cloud.drivers.conformance.needs import need_ability
from decent_cloud.drivers.conformance.rig import Rig
from decent_cloud.drivers.conformance.specs import (
    TENANT_KEY,
    handle_of,
    new_contract,
    new_spec,
    patiently,
    removed,
    running,
)
from decent_cloud.drivers.contract import (
    CanReplaceKeys,
    Driver,
    Observation,
    Rejected,
    SshKey,
)

USER = "root"  # as whom the kit enters machines


class KeysSuite:
    """The tenant's keys are replaced as a whole, and the driver can read which there are."""

    def test_a_new_machine_takes_the_keys_it_was_made_with(self, rig: Rig) -> None:
        driver, can = able_to_replace(rig)
        made = running(rig, driver, new_spec(rig))
        assert read(rig, can, made) == {TENANT_KEY.line()}

    def test_the_machine_takes_the_new_keys_and_no_others(self, rig: Rig) -> None:
        driver, can = able_to_replace(rig)
        made = running(rig, driver, new_spec(rig))
        for keys in ((a_key(1), a_key(2)), (a_key(2),), (a_key(2),), (TENANT_KEY,)):
            replace(rig, can, made, keys)
            assert read(rig, able_to_replace(rig)[1], made) == {key.line() for key in keys}

    def test_sixteen_long_keys_arrive_whole(self, rig: Rig) -> None:
        driver, can = able_to_replace(rig)
        made = running(rig, driver, new_spec(rig))
        keys = tuple(a_long_key(number) for number in range(1, 17))
        replace(rig, can, made, keys)
        assert read(rig, can, made) == {key.line() for key in keys}

    def test_a_key_of_the_agent_is_not_put_in_by_that(self, rig: Rig) -> None:
        driver, can = able_to_replace(rig)
        made = running(rig, driver, new_spec(rig))
        replace(rig, can, made, (a_key(1),), kept=a_key(9))
        assert read(rig, can, made) == {a_key(1).line()}

    def test_a_key_of_the_agent_stays_where_it_is(self, rig: Rig) -> None:
        driver, can = able_to_replace(rig)
        made = running(rig, driver, new_spec(rig))
        replace(rig, can, made, (TENANT_KEY, a_key(9)))
        replace(rig, can, made, (a_key(1),), kept=a_key(9))
        assert read(rig, can, made) == {a_key(1).line(), a_key(9).line()}

    def test_nothing_is_replaced_for_another_contract_user_or_after_the_end(self, rig: Rig) -> None:
        driver, can = able_to_replace(rig)
        made = running(rig, driver, new_spec(rig))
        handle, keys = handle_of(made), (a_key(1),)
        with pytest.raises(Rejected):
            can.replace_keys(handle, new_contract(), USER, keys, None)
        with pytest.raises(Rejected):
            can.replace_keys(handle, made.contract, "nobody-here", keys, None)
        with pytest.raises(Rejected):
            can.read_keys(handle, new_contract(), USER)
        assert read(rig, can, made) == {TENANT_KEY.line()}
        removed(rig, driver, made)
        with pytest.raises(Rejected):
            can.replace_keys(handle, made.contract, USER, keys, None)


def able_to_replace(rig: Rig) -> tuple[Driver, CanReplaceKeys]:
    """Return the driver, and again as one that can replace SSH keys; skips otherwise."""
    driver = rig.driver()
    return driver, need_ability(driver, CanReplaceKeys)


def replace(
    rig: Rig,
    can: CanReplaceKeys,
    made: Observation,
    keys: tuple[SshKey, ...],
    kept: SshKey | None = None,
) -> None:
    """Replace a machine's keys, waiting where the backend asks for it."""
    handle = handle_of(made)
    patiently(rig, lambda: can.replace_keys(handle, made.contract, USER, keys, kept))


def read(rig: Rig, can: CanReplaceKeys, made: Observation) -> set[str]:
    """Read a machine's keys, waiting where the backend asks for it."""
    handle = handle_of(made)
    return set(patiently(rig, lambda: can.read_keys(handle, made.contract, USER)))


def a_key(number: int) -> SshKey:
    """Return a well-formed key that nobody has."""
    return _key(b"ssh-ed25519", bytes([number]) * 32)


def a_long_key(number: int) -> SshKey:
    """Return an RSA key of 4,096 bits in form, which nobody has."""
    return _key(b"ssh-rsa", b"\x01\x00\x01", b"\0" + bytes([0x80 | number]) + b"\x01" * 511)


def _key(*parts: bytes) -> SshKey:
    blob = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return SshKey.parse(f"{parts[0].decode()} {base64.b64encode(blob).decode()}")
