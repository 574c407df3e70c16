"""A root key and a subnet of our own that sign certificates as mainnet's do, in both range layouts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import cbor2
from pyblst import BlstP1Element, BlstP2Element  # type: ignore[import-untyped]

from decent_cloud.adapters.icp.bls import DER_PREFIX, DOMAIN, G2_GENERATOR
from tests.support.icp.trees import Path, State, number, witness

_ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001


class Layout(StrEnum):
    """Where a delegation says for which canisters the subnet answers."""

    SHARDED = "sharded"
    ONE_LEAF = "one leaf"
    PRUNED = "pruned"


class BlsKey:
    """A secret key that signs in G1."""

    def __init__(self, name: str) -> None:
        self._secret = int.from_bytes(hashlib.sha512(name.encode()).digest()) % _ORDER
        point = BlstP2Element.uncompress(G2_GENERATOR).scalar_mul(self._secret)
        self.der = DER_PREFIX + bytes(point.compress())

    def sign(self, message: bytes) -> bytes:
        return bytes(
            BlstP1Element.hash_to_group(message, DOMAIN).scalar_mul(self._secret).compress()
        )


@dataclass
class Authority:
    """Root and subnet. `ranges` are inclusive; the delegation is made once for each layout."""

    name: str = "test"
    layout: Layout = Layout.SHARDED
    ranges: tuple[tuple[bytes, bytes], ...] = ((bytes(10), b"\xff" * 10),)
    root: BlsKey = field(init=False)
    subnet: BlsKey = field(init=False)
    _delegations: dict[Layout, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root, self.subnet = BlsKey(f"{self.name} root"), BlsKey(f"{self.name} subnet")

    @property
    def subnet_id(self) -> bytes:
        return hashlib.sha224(self.subnet.der).digest() + b"\x02"

    def certificate(
        self, state: State, paths: list[Path], at_ns: int, *, delegated: bool = True
    ) -> bytes:
        """Certify some paths of a state, and the time."""
        content = signed(
            self.subnet if delegated else self.root, {**state, b"time": number(at_ns)}, paths
        )
        if delegated:
            content["delegation"] = self.delegation(at_ns)
        return tagged(content)

    def delegation(self, at_ns: int) -> Any:
        if self.layout not in self._delegations:
            leaf = tagged([list(pair) for pair in self.ranges])
            own: dict[bytes, Any] = {b"public_key": self.subnet.der}
            state: dict[bytes, Any] = {b"subnet": {self.subnet_id: own}, b"time": number(at_ns)}
            state[b"subnet"][b"other"] = {b"public_key": b"another"}
            shown: list[Path] = [(b"subnet", self.subnet_id, b"public_key")]
            if self.layout is Layout.ONE_LEAF:
                own[b"canister_ranges"] = leaf
                shown.append((b"subnet", self.subnet_id, b"canister_ranges"))
            else:
                state[b"canister_ranges"] = {self.subnet_id: {self.ranges[0][0]: leaf}}
                if self.layout is Layout.SHARDED:
                    shown.append((b"canister_ranges", self.subnet_id))
            self._delegations[self.layout] = {
                "subnet_id": self.subnet_id,
                "certificate": tagged(signed(self.root, state, shown)),
            }
        return self._delegations[self.layout]


def signed(key: BlsKey, state: State, paths: list[Path]) -> dict[str, Any]:
    """Sign a state; the time is always shown."""
    tree, digest = witness(state, [*paths, (b"time",)])
    return {"tree": tree, "signature": key.sign(b"\x0dic-state-root" + digest)}


def tagged(value: Any) -> bytes:
    """Encode as self-described CBOR."""
    return cbor2.dumps(cbor2.CBORTag(55_799, value))
