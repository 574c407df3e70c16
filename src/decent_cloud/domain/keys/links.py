"""Links: the three payloads of a key chain, read strictly and built from typed records."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from decent_cloud.domain.keys import b64u, canonical
from decent_cloud.domain.keys.canonical import Json
from decent_cloud.domain.keys.devices import Device, DeviceKeys, parse_device
from decent_cloud.domain.keys.errors import BadShape
from decent_cloud.domain.keys.fields import KID_BYTES, Fields, ascending
from decent_cloud.domain.keys.points import KEY_BYTES, check_x25519_key
from decent_cloud.domain.keys.statements import Statement, StatementType, sign_statement
from decent_cloud.kernel.ids import AccountId, Digest, Kid

SALT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Genesis:
    devices: tuple[Device, ...]
    generation_key: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Where a later link goes: its account, its number and the hash of the link before it."""

    account_id: AccountId
    seq: int
    prev: Digest


@dataclass(frozen=True, slots=True)
class Add:
    place: Place
    device: Device


@dataclass(frozen=True, slots=True)
class Rotate:
    place: Place
    revoke: tuple[Kid, ...]
    generation: int
    generation_key: bytes


Link: TypeAlias = Genesis | Add | Rotate

_COMMON = ("op", "seq", "v")
_PLACED = (*_COMMON, "acct", "prev")
_KEYS = {
    "genesis": (*_COMMON, "devs", "gen", "salt"),
    "add": (*_PLACED, "dev"),
    "rotate": (*_PLACED, "gen", "revoke"),
}


def parse_link(payload: bytes) -> Link:
    """Read a link's payload; its signatures and its place are not looked at.

    Errors: `NotCanonical`, `BadShape`, `BadPoint`.
    """
    value = canonical.parse(payload)
    op = value.get("op") if isinstance(value, dict) else None
    if not isinstance(op, str) or op not in _KEYS:
        raise BadShape("no such kind of link")
    fields = Fields(value, _KEYS[op])
    fields.version()
    if op == "genesis":
        return _parse_genesis(fields)
    place = Place(
        fields.account("acct"),
        fields.count("seq", 1),
        fields.digest("prev"),
    )
    if op == "add":
        return Add(place, parse_device(fields.value("dev")))
    return _parse_rotate(fields, place)


def _parse_genesis(fields: Fields) -> Genesis:
    fields.integer("seq", 0, 0)
    fields.raw("salt", SALT_BYTES)
    devices = tuple(parse_device(value) for value in fields.values("devs"))
    number, key = _parse_generation(fields)
    if number != 1:
        raise BadShape("the first generation is 1")
    return Genesis(devices, key)


def _parse_rotate(fields: Fields, place: Place) -> Rotate:
    revoke = fields.texts("revoke")
    ascending(revoke, "revoke")
    for kid in revoke:
        b64u.decode(kid, KID_BYTES)
    number, key = _parse_generation(fields)
    return Rotate(place, tuple(Kid(kid) for kid in revoke), number, key)


def _parse_generation(fields: Fields) -> tuple[int, bytes]:
    inner = fields.inner("gen", ("n", "pk"))
    key = inner.raw("pk", KEY_BYTES)
    check_x25519_key(key)
    return inner.count("n", 1), key


def build_genesis(
    members: Sequence[tuple[Device, DeviceKeys]], generation_key: bytes, salt: bytes
) -> Statement:
    """Return the first link, signed by every device; `salt` is 16 random bytes."""
    payload: Json = {
        "devs": [device.to_json() for device, _ in members],
        "gen": {"n": 1, "pk": b64u.encode(generation_key)},
        "op": "genesis",
        "salt": b64u.encode(salt),
        "seq": 0,
        "v": 1,
    }
    return sign_statement(StatementType.LINK, payload, [keys for _, keys in members])


def build_add(place: Place, device: Device, signers: Sequence[DeviceKeys]) -> Statement:
    """Return the link that adds `device`, signed so far by `signers`; others cosign it."""
    payload: Json = {**_placed(place), "dev": device.to_json(), "op": "add"}
    return sign_statement(StatementType.LINK, payload, signers)


def build_rotate(
    place: Place,
    revoke: Collection[Kid],
    generation: tuple[int, bytes],
    signers: Sequence[DeviceKeys],
) -> Statement:
    """Return the link that revokes these devices and starts `generation` (number, public key)."""
    number, key = generation
    payload: Json = {
        **_placed(place),
        "gen": {"n": number, "pk": b64u.encode(key)},
        "op": "rotate",
        "revoke": [str(kid) for kid in sorted(set(revoke))],
    }
    return sign_statement(StatementType.LINK, payload, signers)


def _placed(place: Place) -> dict[str, Json]:
    return {
        "acct": b64u.from_hex(place.account_id),
        "prev": b64u.from_hex(place.prev),
        "seq": place.seq,
        "v": 1,
    }
